"""Where to paint: a mask, and how it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from latentrt.pictures.images import opened, to_rgb

MaskLike: TypeAlias = Path | str | Image.Image | NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Mask:
    """Where to paint, as it was asked for.

    Attributes:
        image: mode L: white is painted, black is kept; of the picture's proportions.
        blur: radius in pixels of the Gaussian that softens its edge, as Pillow counts.
        invert: paint what it keeps.
        padding: paint the masked region alone, with so many pixels around it; None paints the whole picture.
        differential: a grey pixel is painted in the last steps alone, the darker the fewer (arXiv:2306.00950).
        overlay: lay the picture's own pixels over what is outside of the mask.
    """

    image: Image.Image
    blur: float = 0.0
    invert: bool = False
    padding: int | None = None
    differential: bool = False
    overlay: bool = True


def load_mask(source: MaskLike) -> Image.Image:
    """Read a mask, mode L: 255 is painted, 0 is kept.

    Of a picture with transparency, what is transparent is painted (so the masks of OpenAI's images API and of ComfyUI);
    of any other, what is white, by its luminance.

    Args:
        source: as `latentrt.pictures.images.load_image` takes it.

    Raises:
        ImageError: it cannot be read.
    """
    with opened(source) as (image, name):
        if image.has_transparency_data:
            alpha = image.convert("RGBA").getchannel("A")
            if alpha.getextrema() != (255, 255):
                return ImageChops.invert(alpha)
        return to_rgb(image, name).convert("L")
