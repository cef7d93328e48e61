"""Scenes of the demo model: what may be drawn, the words for it, and what training never sees.

A scene is one object in the centre, or two objects beside or above each other, on a plain background.
A caption names a scene in one of many wordings; `parse` reads every such wording back.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
COLOURS = (
    "red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "brown", "black", "white",
)  # fmt: skip
BACKGROUNDS = (*COLOURS, "grey")
SIZES = ("small", "large")
PLACES = ("centre", "left", "right", "top", "bottom")
RELATIONS = ("left", "right", "above", "below")

DEFAULT_SIZE = "large"
DEFAULT_BACKGROUND = "white"

# One colour of every shape is never drawn for training.
HELD_OUT_PAIRS = frozenset(
    zip(SHAPES, ("orange", "purple", "green", "blue", "yellow", "pink", "red", "turquoise"), strict=True)
)
HELD_OUT_SHARE = 16  # one scene in so many is held out as well, chosen by its hash

_PLACES_OF_RELATION = {
    "left": ("left", "right"),
    "right": ("right", "left"),
    "above": ("top", "bottom"),
    "below": ("bottom", "top"),
}
_RELATION_WORDS = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
_SHAPE_WORDS = {"circle": ("circle", "disc"), "moon": ("moon", "crescent")}
_COLOUR_WORDS = {"purple": ("purple", "violet"), "grey": ("grey", "gray")}
_PREFIXES = ("a picture of ", "an image of ", "a drawing of ", "a photo of ")
_BACKGROUND_WORDS = (
    " on {a} {colour} background",
    " against {a} {colour} background",
    " on {colour}",
    ", {colour} background",
)


@dataclass(frozen=True, order=True)
class Item:
    """One object: where it is, and what."""

    place: str
    size: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """Objects on a background. `items` are in the order of PLACES, so that equal pictures are equal scenes."""

    background: str
    items: tuple[Item, ...]

    @property
    def key(self) -> str:
        """A stable name of the scene, the same for every wording and every session."""
        return "|".join([self.background, *(f"{i.place},{i.size},{i.colour},{i.shape}" for i in self.items)])


def make_scene(background: str, items: list[Item]) -> Scene:
    """A scene with its items in canonical order."""
    return Scene(background, tuple(sorted(items, key=lambda item: PLACES.index(item.place))))


def has_held_out_pair(scene: Scene) -> bool:
    """Whether an object has a shape and colour that training never shows together."""
    return any((item.shape, item.colour) in HELD_OUT_PAIRS for item in scene.items)


def held_out(scene: Scene) -> bool:
    """Whether the scene is kept from training for good: by a shape-colour pair, or by its hash."""
    digest = hashlib.sha256(scene.key.encode()).digest()
    return has_held_out_pair(scene) or int.from_bytes(digest[:4], "big") % HELD_OUT_SHARE == 0


def sample_any(rng: np.random.Generator) -> Scene:
    """A scene drawn evenly, held out or not: one object in a fifth of them."""
    background = str(rng.choice(BACKGROUNDS))
    colours = [colour for colour in COLOURS if colour != background]
    if rng.random() < 0.2:
        places: tuple[str, ...] = ("centre",)
    else:
        places = ("left", "right") if rng.random() < 0.5 else ("top", "bottom")
    return make_scene(
        background,
        [
            Item(place, str(rng.choice(SIZES)), str(rng.choice(colours)), str(rng.choice(SHAPES)))
            for place in places
        ],
    )


def sample(rng: np.random.Generator) -> Scene:
    """A scene for training: never one that is held out."""
    while held_out(scene := sample_any(rng)):
        pass
    return scene


def sample_held_out(rng: np.random.Generator, *, new_pair: bool) -> Scene:
    """A held-out scene: with a shape-colour pair never trained, or a new arrangement of known objects."""
    while not held_out(scene := sample_any(rng)) or has_held_out_pair(scene) != new_pair:
        pass
    return scene


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _word(rng: np.random.Generator, words: Mapping[str, tuple[str, ...]], name: str) -> str:
    options = words.get(name, (name,))
    # The plain word half of the time, so that it is the one learnt best.
    return options[0] if rng.random() < 0.5 else str(rng.choice(options))


def _noun(rng: np.random.Generator, item: Item) -> str:
    words = [_word(rng, _COLOUR_WORDS, item.colour), _word(rng, _SHAPE_WORDS, item.shape)]
    if item.size != DEFAULT_SIZE or rng.random() < 0.85:
        words.insert(0, _word(rng, _SIZE_WORDS, item.size))
    return f"{_article(words[0])} {' '.join(words)}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the wordings of a scene. What it leaves out is the default: large, on white."""
    text = ""
    if rng.random() < 0.15:
        text = str(rng.choice(_PREFIXES))
    if len(scene.items) == 1:
        text += _noun(rng, scene.items[0])
    else:
        order = int(rng.integers(2))
        first, second = scene.items[order], scene.items[1 - order]
        places = (first.place, second.place)
        relation = next(name for name, pair in _PLACES_OF_RELATION.items() if pair == places)
        text += f"{_noun(rng, first)} {_word(rng, _RELATION_WORDS, relation)} {_noun(rng, second)}"
    if scene.background != DEFAULT_BACKGROUND or rng.random() < 0.7:
        pattern = _BACKGROUND_WORDS[0] if rng.random() < 0.5 else str(rng.choice(_BACKGROUND_WORDS))
        colour = _word(rng, _COLOUR_WORDS, scene.background)
        text += pattern.format(a=_article(colour), colour=colour)
    return text


def _meanings(words: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> dict[str, str]:
    return {word: name for name in names for word in words.get(name, (name,))}


_SIZE_OF = _meanings(_SIZE_WORDS, SIZES)
_COLOUR_OF = _meanings(_COLOUR_WORDS, BACKGROUNDS)
_SHAPE_OF = _meanings(_SHAPE_WORDS, SHAPES)
_RELATION_OF = _meanings(_RELATION_WORDS, RELATIONS)


def _any_of(words: dict[str, str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_NOUN = rf"an? (?:({_any_of(_SIZE_OF)}) )?({_any_of(_COLOUR_OF)}) ({_any_of(_SHAPE_OF)})"
_CAPTION = re.compile(
    rf"(?:an? \w+ of )?{_NOUN}(?: ({_any_of(_RELATION_OF)}) {_NOUN})?"
    rf"(?:(?: on| against|,)(?: an?)? ({_any_of(_COLOUR_OF)})(?: background)?)?"
)


def is_caption(text: str) -> bool:
    """Whether `parse` reads the text."""
    return _CAPTION.fullmatch(text) is not None


def parse(text: str) -> Scene:
    """The scene that a caption of this grammar names; ValueError for any other text."""
    match = _CAPTION.fullmatch(text)
    if match is None:
        raise ValueError(f"caption: expected one of the demo grammar, got {text!r}")
    size, colour, shape, relation, size2, colour2, shape2, background = match.groups()
    places = _PLACES_OF_RELATION[_RELATION_OF[relation]] if relation else ("centre",)
    nouns = [(size, colour, shape), (size2, colour2, shape2)][: len(places)]
    return make_scene(
        _COLOUR_OF[background] if background else DEFAULT_BACKGROUND,
        [
            Item(place, _SIZE_OF[s] if s else DEFAULT_SIZE, _COLOUR_OF[c], _SHAPE_OF[k])
            for place, (s, c, k) in zip(places, nouns, strict=True)
        ],
    )
