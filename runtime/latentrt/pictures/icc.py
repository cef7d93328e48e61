"""Colours of other profiles than sRGB, which all models were trained on, as sRGB's (ICC.1:2022)."""

import io

import numpy as np
from PIL import Image, ImageCms

# Of 255: a profile that moves no colour by more says nothing else than sRGB, whose own conversion rounds so far.
TOLERANCE = 2
# Which colours a profile is about, by the mode that is converted.
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
# Modes with transparency or a palette, and what their colours are converted as.
_COLOURS = {
    "RGB": "RGB",
    "RGBA": "RGB",
    "P": "RGB",
    "PA": "RGB",
    "L": "L",
    "LA": "L",
    "1": "L",
    "CMYK": "CMYK",
}


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, mode RGB or RGBA; as it is where the profile cannot be used, or says nothing else.

    Args:
        image: of any mode.
        profile: its ICC profile; None: it has none.
    """
    mode = _COLOURS.get(image.mode)
    if not profile or mode is None:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return image
        convert = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK" and _moves_nothing(convert, mode):
            return image
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        converted = ImageCms.applyTransform(image.convert(mode), convert)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a profile that cannot be used: the plain formula
        return image
    if converted is None:  # it does so in place alone, which was not asked for
        return image
    converted.info.clear()
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _moves_nothing(convert: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour of a coarse grid comes out as another."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        grid = Image.fromarray(levels[None])
    else:
        grid = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))
    moved = ImageCms.applyTransform(grid, convert)
    if moved is None:
        return True
    distance = np.abs(np.asarray(moved, np.int16) - np.asarray(grid.convert("RGB"), np.int16))
    return int(distance.max()) <= TOLERANCE
