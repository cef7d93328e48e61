"""Where to paint: a mask, and how it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from latentrt.checks import number, whole
from latentrt.pictures.images import opened, to_rgb
from latentrt.pictures.metadata import number_text

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
    blur: float = 4.0
    invert: bool = False
    padding: int | None = None
    differential: bool = False
    overlay: bool = True

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Entries of a picture's text, AUTOMATIC1111's but for the last."""
        entries = {
            "Mask blur": number_text(self.blur),
            "Mask mode": "Inpaint not masked" if self.invert else None,
            "Inpaint area": None if self.padding is None else "Only masked",
            "Masked area padding": None if self.padding is None else str(self.padding),
            "Differential diffusion": "True" if self.differential else None,
        }
        return tuple((key, value) for key, value in entries.items() if value is not None)


def make_mask(
    source: MaskLike,
    *,
    blur: float = 4.0,
    invert: bool = False,
    padding: int | None = None,
    differential: bool = False,
    overlay: bool = True,
) -> Mask:
    """Read a mask and check what is asked with it; for the arguments see `Mask` and `load_mask`.

    Raises:
        InputError: a number is out of range.
        ImageError: the mask cannot be read.
    """
    blur = number("mask_blur", blur, 0)
    padding = (
        None if padding is None else int(number("padding_mask_crop", whole("padding_mask_crop", padding), 0))
    )
    return Mask(load_mask(source), blur, invert, padding, differential, overlay)


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
