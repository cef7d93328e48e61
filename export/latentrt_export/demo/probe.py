"""An automatic probe: what a picture shows, read from its pixels alone, without the prompt and without a network.

Every pixel is explained by the background or by one of the eleven paints, whichever is nearest; what is not background
falls into connected parts; a part's paint is the most frequent inside it, its shape and size are those of the
drawing whose silhouette overlaps it best. A part that overlaps no silhouette well is no object: malformed shapes
are refused, not rounded to the nearest.
"""

from __future__ import annotations

import functools

import numpy as np

from latentrt.models.demo.drawing import BACKGROUND_RGB, CENTRE, OBJECT_RGB, RADIUS, SIZE, signed_distance
from latentrt.models.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, Item, Scene, make_scene

MIN_AREA = 60  # pixels: anything smaller is a speck
MIN_OVERLAP = 0.75  # intersection over union with the best silhouette
WINDOW = 72  # pixels: a silhouette's frame

Array = np.ndarray


def _background_of(picture: Array) -> str:
    border = np.concatenate([picture[:6].reshape(-1, 3), picture[-6:].reshape(-1, 3),
                             picture[:, :6].reshape(-1, 3), picture[:, -6:].reshape(-1, 3)])  # fmt: skip
    seen = np.median(border, axis=0)
    distances = [_to_segment(seen, 0.9 * rgb, 1.06 * rgb) for rgb in _rgb(BACKGROUND_RGB, BACKGROUNDS)]
    return BACKGROUNDS[int(np.argmin(distances))]


def _rgb(table: dict[str, tuple[int, int, int]], names: tuple[str, ...]) -> Array:
    return np.array([table[name] for name in names], np.float32)


def _to_segment(pixels: Array, a: Array, b: Array) -> Array:
    """Distance of (..., 3) pixels to the segment from a to b."""
    t = np.clip((pixels - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(pixels - a - t[..., None] * (b - a), axis=-1)


def _paints(picture: Array, background: str) -> Array:
    """Of every pixel: 0 for the background, else 1 + the index of the nearest paint; int (128, 128)."""
    pixels = picture.astype(np.float32)
    base = np.array(BACKGROUND_RGB[background], np.float32)
    distances = [_to_segment(pixels, 0.7 * base, 1.1 * base)]  # from full shadow to full light
    for name, rgb in zip(COLOURS, _rgb(OBJECT_RGB, COLOURS), strict=True):
        if name == background:  # never drawn on its own colour, and too near to be told from it
            distances.append(np.full(pixels.shape[:2], np.inf, np.float32))
            continue
        dark, bright = 0.68 * rgb, np.minimum(1.2 * rgb, 255)
        glow = rgb + 0.28 * (255 - rgb)
        distances.append(np.minimum(_to_segment(pixels, dark, bright), _to_segment(pixels, rgb, glow)))
    return np.argmin(distances, axis=0)


def connected_parts(mask: Array) -> list[Array]:
    """Boolean masks of the 4-connected parts, the largest first."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:  # the largest label spreads through each part
        grown = labels.copy()
        grown[1:] = np.maximum(grown[1:], labels[:-1])
        grown[:-1] = np.maximum(grown[:-1], labels[1:])
        grown[:, 1:] = np.maximum(grown[:, 1:], labels[:, :-1])
        grown[:, :-1] = np.maximum(grown[:, :-1], labels[:, 1:])
        grown *= mask
        if (grown == labels).all():
            break
        labels = grown
    names, counts = np.unique(labels[labels > 0], return_counts=True)
    return [labels == name for name in names[np.argsort(-counts)]]


@functools.cache
def _silhouettes() -> tuple[list[tuple[str, str]], Array, Array]:
    """(shape, size) of every drawing, their masks (n, 72*72) centred on their centroid, and their areas."""
    names, masks = [], []
    yy, xx = np.mgrid[0:WINDOW, 0:WINDOW].astype(np.float32) + 0.5 - WINDOW / 2
    for shape in SHAPES:
        for size in SIZES:
            for scale in (0.92, 1.0, 1.08):
                for angle in (-0.15, -0.05, 0.05, 0.15):
                    radius = RADIUS[size] * scale
                    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius

                    def draw(cx: float, cy: float) -> Array:
                        x, y = xx - cx, yy - cy
                        return signed_distance(shape, x * cos + y * sin, y * cos - x * sin) < 0  # noqa: B023

                    mask = draw(0, 0)
                    masks.append(draw(-float(xx[mask].mean()), -float(yy[mask].mean())).ravel())
                    names.append((shape, size))
    stack = np.stack(masks).astype(np.float32)
    return names, stack, stack.sum(1)


def _frame(part: Array) -> Array:
    """The part's mask in a window around its centroid."""
    y, x = np.nonzero(part)
    top, left = round(float(y.mean()) + 0.5) - WINDOW // 2, round(float(x.mean()) + 0.5) - WINDOW // 2
    padded = np.pad(part, WINDOW)
    return padded[top + WINDOW : top + 2 * WINDOW, left + WINDOW : left + 2 * WINDOW]


def _match(part: Array) -> tuple[str, str, float]:
    names, masks, areas = _silhouettes()
    frame = _frame(part).astype(np.float32)
    best = ("", "", 0.0)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            moved = np.roll(frame, (dy, dx), (0, 1)).ravel()
            shared = masks @ moved
            overlap = shared / (areas + moved.sum() - shared)
            n = int(overlap.argmax())
            if overlap[n] > best[2]:
                best = (*names[n], float(overlap[n]))
    return best


def _nearest_place(x: float, y: float) -> str:
    return min(CENTRE, key=lambda name: float(np.hypot(x - CENTRE[name][0], y - CENTRE[name][1])))


def _interior(part: Array) -> Array:
    inner = part.copy()
    inner[1:] &= part[:-1]
    inner[:-1] &= part[1:]
    inner[:, 1:] &= part[:, :-1]
    inner[:, :-1] &= part[:, 1:]
    return inner if inner.any() else part


def look(picture: Array) -> Scene | None:
    """The scene that a picture (uint8, (128, 128, 3)) shows; None where it shows none of the grammar's.

    Two objects are beside or above each other by whichever distance between their centres is larger, and
    that distance must be at least twice the other.
    """
    if picture.shape != (SIZE, SIZE, 3):
        raise ValueError(f"picture: expected shape {(SIZE, SIZE, 3)}, got {picture.shape}")
    background = _background_of(picture)
    paints = _paints(picture, background)
    found = []
    for part in connected_parts(paints > 0):
        if part.sum() < MIN_AREA:
            continue
        inside = paints[_interior(part)]
        counts = np.bincount(inside, minlength=len(COLOURS) + 1)[1:]
        shape, size, overlap = _match(part)
        if overlap < MIN_OVERLAP or counts.max() < 0.5 * counts.sum():
            return None
        y, x = np.nonzero(part)
        found.append((float(x.mean()), float(y.mean()), size, COLOURS[int(counts.argmax())], shape))
    if len(found) == 1:
        x, y, size, colour, shape = found[0]
        return make_scene(background, [Item(_nearest_place(x, y), size, colour, shape)])
    if len(found) != 2:
        return None
    dx, dy = found[1][0] - found[0][0], found[1][1] - found[0][1]
    if min(abs(dx), abs(dy)) * 2 > max(abs(dx), abs(dy)):
        return None
    first, second = ("left", "right") if abs(dx) > abs(dy) else ("top", "bottom")
    if (dx if abs(dx) > abs(dy) else dy) < 0:
        found.reverse()
    return make_scene(
        background, [Item(place, *f[2:]) for place, f in zip((first, second), found, strict=True)]
    )


def verdict(wanted: Scene, seen: Scene | None) -> dict[str, bool]:
    """What is right: objects' number and relation, shapes, colours, sizes, background."""
    result = dict.fromkeys(("relation", "shapes", "colours", "sizes", "background"), False)
    if seen is None:
        return result
    result["background"] = wanted.background == seen.background
    if [i.place for i in wanted.items] == [i.place for i in seen.items]:
        pairs = list(zip(wanted.items, seen.items, strict=True))
        result["relation"] = True
        result["shapes"] = all(a.shape == b.shape for a, b in pairs)
        result["colours"] = all(a.colour == b.colour for a, b in pairs)
        result["sizes"] = all(a.size == b.size for a, b in pairs)
    return result


def is_right(checks: dict[str, bool]) -> bool:
    """What counts: the right number of objects in the right relation, each with its shape and its colour."""
    return checks["relation"] and checks["shapes"] and checks["colours"]
