"""Pictures of scenes: signed distances, anti-aliased over two pixels, shaded, with soft shadows.

Edges are soft and nothing has texture, so that a small autoencoder reaches its quality on a CPU. The light
is fixed (from the upper left); place, radius and angle vary a little, so that no two pictures are equal.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.models.demo.scenes import Item, Scene

SIZE = 128  # pixels a side
RADIUS = {"small": 15.0, "large": 26.0}
CENTRE = {"centre": (64, 64), "left": (34, 64), "right": (94, 64), "top": (64, 34), "bottom": (64, 94)}
EDGE = 2.0  # pixels over which an edge goes from 0 to 1
JITTER = 3.0  # pixels, either way
SHADOW = (3.0, 5.0)  # offset in pixels

OBJECT_RGB = {
    "red": (218, 36, 40), "orange": (245, 128, 28), "yellow": (250, 214, 40), "green": (44, 152, 64),
    "turquoise": (40, 200, 192), "blue": (36, 82, 214), "purple": (128, 46, 176), "pink": (250, 124, 184),
    "brown": (120, 70, 36), "black": (28, 28, 34), "white": (244, 244, 244),
}  # fmt: skip
BACKGROUND_RGB = {
    "red": (190, 88, 84), "orange": (236, 172, 112), "yellow": (240, 224, 146), "green": (128, 180, 130),
    "turquoise": (146, 214, 208), "blue": (112, 152, 216), "purple": (160, 124, 192), "pink": (240, 190, 206),
    "brown": (156, 122, 96), "black": (56, 56, 64), "white": (230, 230, 234), "grey": (150, 152, 158),
}  # fmt: skip

Array: TypeAlias = npt.NDArray[Any]


def _polygon(x: Array, y: Array, points: list[tuple[float, float]]) -> Array:
    """Signed distance to a simple polygon: nearest edge, sign by the parity of crossings."""
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + ex * (y - ay) / ey)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def _ring_of_points(radii: list[float], start: float, cy: float = 0.0) -> list[tuple[float, float]]:
    angles = start + np.arange(len(radii)) * 2 * np.pi / len(radii)
    return [(float(r * np.cos(a)), float(r * np.sin(a)) + cy) for r, a in zip(radii, angles, strict=True)]


_TRIANGLE = _ring_of_points([1.1] * 3, -np.pi / 2, 0.2)
_STAR = _ring_of_points([1.12, 0.5] * 5, -np.pi / 2, 0.05)


def _heart_points(n: int = 40) -> list[tuple[float, float]]:
    t = np.arange(n) * 2 * np.pi / n
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(float(a), float(b)) for a, b in zip(x / 16, -y / 16 - 0.1, strict=True)]


_HEART = _heart_points()


def signed_distance(shape: str, x: Array, y: Array) -> Array:
    """Distance to a shape of radius about 1 (x right, y down): negative inside; unit of x and y."""
    if shape == "circle":
        return np.hypot(x, y) - 0.95
    if shape == "square":
        qx, qy = np.abs(x) - 0.82, np.abs(y) - 0.82
        return np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0)
    if shape == "triangle":
        return _polygon(x, y, _TRIANGLE)
    if shape == "star":
        return _polygon(x, y, _STAR)
    if shape == "heart":
        return _polygon(x, y, _HEART)
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.74) - 0.24
    if shape == "cross":
        ax, ay = np.abs(x), np.abs(y)
        return np.minimum(np.maximum(ax - 0.32, ay - 0.98), np.maximum(ay - 0.32, ax - 0.98))
    if shape == "moon":
        return np.maximum(np.hypot(x + 0.05, y) - 1.0, 0.78 - np.hypot(x - 0.5, y + 0.12))
    raise ValueError(f"shape: unknown {shape!r}")


def _smoothstep(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


_YY, _XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5


def _background(colour: str) -> Array:
    """(128, 128, 3) in 0…1: lighter in the upper left, darker below."""
    base = np.array(BACKGROUND_RGB[colour], np.float32) / 255
    light = 1.07 - 0.08 * _YY / SIZE - 0.06 * ((_XX - 50) ** 2 + (_YY - 45) ** 2) / SIZE**2
    lit: Array = light[..., None] * base
    return lit


_BACKGROUNDS = {name: _background(name) for name in BACKGROUND_RGB}


def draw_item(picture: Array, item: Item, cx: float, cy: float, radius: float, angle: float) -> None:
    """Paint one object and its shadow onto `picture` (h, w, 3) in 0…1, in place."""
    reach = int(radius * 1.3 + 14)
    y0, y1 = max(int(cy) - reach, 0), min(int(cy) + reach, SIZE)
    x0, x1 = max(int(cx) - reach, 0), min(int(cx) + reach, SIZE)
    window = picture[y0:y1, x0:x1]
    px, py = _XX[y0:y1, x0:x1] - cx, _YY[y0:y1, x0:x1] - cy
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius

    def distance(dx: float, dy: float) -> Array:
        ux, uy = px - dx, py - dy
        return signed_distance(item.shape, ux * cos + uy * sin, uy * cos - ux * sin) * radius

    shadow = 0.3 * _smoothstep(0.5 - distance(*SHADOW) / 12)
    window *= 1 - shadow[..., None]
    d = distance(0, 0)
    base = np.array(OBJECT_RGB[item.colour], np.float32) / 255
    lit = 1.0 - 0.13 * (px + 1.4 * py) / radius  # light falls from the upper left
    glow = 0.22 * np.exp(-((px / radius + 0.35) ** 2 + (py / radius + 0.4) ** 2) / 0.22)
    rim = 1 - 0.16 * np.exp(np.minimum(d, 0) / 3.0)  # a darker border makes it look round
    colour = (lit * rim)[..., None] * base
    colour = colour + glow[..., None] * (1 - colour)
    cover = _smoothstep(0.5 - d / EDGE)[..., None]
    window[:] = window * (1 - cover) + colour * cover


def render(scene: Scene, rng: np.random.Generator) -> Array:
    """uint8 (128, 128, 3); the same scene and generator state give the same pixels."""
    picture = _BACKGROUNDS[scene.background].copy()
    for item in scene.items:
        cx, cy = CENTRE[item.place] + rng.uniform(-JITTER, JITTER, 2)
        radius = RADIUS[item.size] * rng.uniform(0.95, 1.05)
        draw_item(picture, item, cx, cy, radius, rng.uniform(-0.12, 0.12))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
