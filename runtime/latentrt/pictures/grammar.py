"""What of a prompt is no plain text to the program that painted it: weights, changes between steps, networks.

Nothing here computes any of it. It is found, so that no prompt is taken for a plain text that was none.
"""

import re
from dataclasses import dataclass

_SHOWN = 40  # signs of what was found


@dataclass(frozen=True)
class Construct:
    """A construct of a grammar.

    Attributes:
        name: in a word.
        pattern: finds it in a prompt without escapes.
        attention: it weighs words; some programs can be told not to.
        negative: it means the same in the negative prompt.
    """

    name: str
    pattern: re.Pattern[str]
    attention: bool = False
    negative: bool = True


def _construct(name: str, pattern: str, attention: bool = False, negative: bool = True) -> Construct:
    return Construct(name, re.compile(pattern), attention, negative)


# Brackets are looked for as far as they go without another of their kind in them. No pattern goes back over what it has
# passed: time grows with the prompt, no faster.
_A1111 = (
    _construct("editing", r"\[(?=[^\[\]:|]*+[:|][^\[\]]*+\])[^\[\]]*+\]"),
    _construct("attention", r"\([^()]*\)?|\[[^\[\]]*\]?", attention=True),
    _construct("BREAK", r"\bBREAK\b"),
    _construct("AND", r"\bAND\b", negative=False),
    _construct("a weight of the whole", r":\s*[-+]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)\s*$", negative=False),
    _construct("a network", r"<\w+:[^<>]+>", negative=False),
)
_COMFYUI = (
    _construct("attention", r"\([^()]*\)", attention=True),
    _construct("an embedding", r"(?:^|\s)embedding:\S+"),
)
GRAMMARS: dict[str, tuple[Construct, ...]] = {
    "": (),
    "a1111": _A1111,
    "comfyui": (*_COMFYUI, _construct("a network", r"<\w+:[^<>]+>")),
    "swarmui": (*_COMFYUI, _construct("a command", r"<\w+(?:\[[^<>]*\])?[:>][^<>]*>?")),
    "compel": (
        _construct("a blend", r"\.(?:and|blend|swap|attend)\("),
        _construct(
            "attention", r"""(?<=[\w)"'])[+-]++(?=[\s,.;!?)]|$)|\)[0-9]*\.?[0-9]+|[()]""", attention=True
        ),
        _construct("an embedding", r"<[^<>\s]+>"),
    ),
    "novelai": (
        _construct("attention", r"[{\[][^{}\[\]]*[}\]]?|(?<![0-9.])-?[0-9.]*+::", attention=True),
        _construct("a mixture", r"\|"),
    ),
}
# What a backslash makes literal; AUTOMATIC1111 lets all others vanish.
_ESCAPES = {
    "a1111": re.compile(r"\\([()\[\]\\])|\\"),
    "comfyui": re.compile(r"\\([()])"),
    "swarmui": re.compile(r"\\([()])"),
    "compel": re.compile(r'\\([()",.+=-])'),
    "novelai": re.compile(r"\\([{}\[\]])"),
}


def found_in(prompt: str, grammar: str, *, negative: bool = False, attention: bool = True) -> list[str]:
    """The constructs in a prompt, each by its name with the first that was found: "attention, '(red:1.2)'".

    Args:
        prompt: as its program had it.
        grammar: a key of `GRAMMARS`.
        negative: it is the negative prompt.
        attention: False: the program took what weighs words for text.
    """
    escapes = _ESCAPES.get(grammar)
    bare = prompt if escapes is None else escapes.sub("", prompt)
    made = []
    for construct in GRAMMARS[grammar]:
        if (negative and not construct.negative) or (construct.attention and not attention):
            continue
        match = construct.pattern.search(bare)
        if match is not None:
            shown = " ".join(match[0].split())
            made.append(f"{construct.name}, {shown[:_SHOWN] + '…' * (len(shown) > _SHOWN)!r}")
            bare = construct.pattern.sub(" ", bare)
    return made


def literal(prompt: str, grammar: str) -> str:
    """A prompt without constructs, as its program reads it: without the backslashes that make brackets literal."""
    escapes = _ESCAPES.get(grammar)
    return prompt if escapes is None else escapes.sub(lambda match: match[1] or "", prompt)
