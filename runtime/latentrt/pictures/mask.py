"""Where to paint: a mask, and how it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from latentrt.errors import ImageError
from latentrt.pictures.images import opened, to_rgb

MaskLike: TypeAlias = Path | str | Image.Image | NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Mask:
    """Where to paint, as it was asked for.

    Attributes:
        image: mode L: white is painted, black is kept; of the picture's proportions. Levels within `NEAR` of either are
            taken for it, unless they all count.
        blur: radius in pixels of the Gaussian that softens its edge, as Pillow counts.
        invert: paint what it keeps.
        padding: paint the masked region alone, with so many pixels around it; None paints the whole picture.
        differential: a grey pixel is painted in the last steps alone, the darker the fewer (arXiv:2306.00950).
        overlay: lay the picture's own pixels over what is outside of the mask.
        content: what lies under the mask at first: a key of `latentrt.painting.picture_settings.CONTENTS`.
        grow: pixels by which it is made wider, of content "grey".
        weight: how far what is under it is hidden from an inpainting UNet.
        exact: all levels count.
    """

    image: Image.Image
    blur: float = 0.0
    invert: bool = False
    padding: int | None = None
    differential: bool = False
    overlay: bool = True
    content: str = "original"
    grow: int = 0
    weight: float = 1.0
    exact: bool = False

    def __post_init__(self) -> None:
        if not (self.differential or self.exact):
            object.__setattr__(self, "image", _clear(self.image))


# Of 255: what is so near to black is black, and so near to white white. JPEGs and painting programs leave as much.
NEAR = 8


def load_mask(source: MaskLike) -> Image.Image:
    """Read a mask, mode L: 255 is painted, 0 is kept.

    Of a picture with transparency, what is transparent is painted (so the masks of OpenAI's images API and of ComfyUI);
    of any other, what is white, by its luminance.

    Args:
        source: as `latentrt.pictures.images.load_image` takes it.

    Raises:
        ImageError: it cannot be read, or nothing of it is seen but white on a transparent ground: the strokes may be
            meant, or the ground.
    """
    with opened(source) as (image, name):
        if image.has_transparency_data:
            pixels = image.convert("RGBA")
            alpha = pixels.getchannel("A")
            if alpha.getextrema() != (255, 255):
                _refuse_white_strokes(pixels, name)
                return ImageChops.invert(alpha)
        return to_rgb(image, name).convert("L")


def _clear(mask: Image.Image) -> Image.Image:
    """Levels near black and white as those."""
    return mask.point([0 if level <= NEAR else 255 if level >= 255 - NEAR else level for level in range(256)])


def _refuse_white_strokes(pixels: Image.Image, name: str) -> None:
    values = np.asarray(pixels)
    seen = values[values[..., 3] > NEAR]
    if len(seen) and bool((seen[:, :3] >= 255 - NEAR).all()):
        raise ImageError(
            f"{name}: white on a transparent ground says two things: white is painted, and so is what is transparent; "
            "lay it over black to paint the strokes, or make the strokes black to paint the ground"
        )
