"""Masks as ComfyUI's SetLatentNoiseMask and VAEEncodeForInpaint make them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from latentrt.painting.framing import cropped_at, framed
from latentrt.painting.inpainting import Inpainting, fitted, refuse_unpainted
from latentrt.painting.upscale import interpolate
from latentrt.pictures import images
from latentrt.pictures.mask import Mask

Array = npt.NDArray[Any]


def comfyui_inpainting(picture: Image.Image, asked: Mask, width: int, height: int, factor: int) -> Inpainting:
    """Prepare a picture; for the arguments and errors see `make_inpainting`.

    The mask comes to the latents' size bilinearly and stays soft. With content "original" it comes from its own size
    (SetLatentNoiseMask); with "grey" it is rounded and grown first, and what it covers is grey (VAEEncodeForInpaint).
    Nothing is blurred, and no region is taken alone.
    """
    fitted(asked.image, picture.size)  # for its refusal
    levels = np.asarray(asked.image, np.float32)[None, None] / 255
    if asked.invert:
        levels = 1 - levels
    latents = height // factor, width // factor
    shown = framed(picture, width, height, factor)
    covered = _beside(levels, picture.size, (width, height), factor)
    hard = np.rint(covered) > 0
    pixels = images.to_array(shown)
    if asked.content == "grey":
        levels = _grown(hard.astype(np.float32), asked.grow)
        pixels = np.where(hard, np.float32(0), pixels)
    soft = interpolate(levels, latents, "bilinear")
    refuse_unpainted(soft, factor)
    seen = Image.fromarray(np.rint(covered[0, 0] * 255).astype(np.uint8))
    return Inpainting(shown, seen, (0, 0, width, height), pixels, hard, np.rint(soft), soft, asked)


def _beside(levels: Array, picture: tuple[int, int], size: tuple[int, int], factor: int) -> Array:
    """The mask of each pixel that is painted, (1, 1, h, w): cropped where the picture is."""
    width, height = size
    corner = cropped_at(picture, width, height, factor)
    if corner is None:
        return interpolate(levels, (height, width), "bilinear")
    left, top = corner
    at_picture = interpolate(levels, (picture[1], picture[0]), "bilinear")
    return at_picture[:, :, top : top + height, left : left + width]


def _grown(mask: Array, by: int) -> Array:
    """A mask of 0 and 1, float32 (1, 1, h, w), where it is 1 anywhere in a square of so many pixels' side."""
    if by == 0:
        return mask
    before = math.ceil((by - 1) / 2)
    for axis in (2, 3):
        # An even square has its middle right of the pixel.
        edges = [(before, by - 1 - before) if one == axis else (0, 0) for one in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask, edges), by, axis)
        mask = windows.max(axis=-1)
    return mask
