"""Masks as ComfyUI makes them, held to torch's own operations at sizes that are no multiples of a latent."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentrt.painting.comfyui_mask import comfyui_inpainting
from latentrt.pictures.mask import Mask


def bilinear(levels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(levels, size, mode="bilinear")


@settings(deadline=None)
@given(
    st.integers(2, 6), st.integers(2, 6), st.integers(0, 7), st.integers(0, 7), st.integers(0, 12),
    st.sampled_from([1, 2]), st.integers(0, 2**32),
)  # fmt: skip
def test_masks_and_pixels(across, down, wider, higher, by, larger, seed):
    """Of a picture that is up to 7 pixels too large, and a mask of its size or twice it, all levels in it."""
    rng = np.random.default_rng(seed)
    width, height = 8 * across, 8 * down
    size = height + higher, width + wider
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    levels = rng.choice(np.array([0, 90, 200, 255], np.uint8), (size[0] * larger, size[1] * larger))
    levels[levels.shape[0] // 2 :, levels.shape[1] // 2 :] = 255
    mask = Image.fromarray(levels)
    left, top = wider // 2, higher // 2
    told = torch.from_numpy(levels / np.float32(255))[None, None]

    soft = comfyui_inpainting(Image.fromarray(picture), Mask(mask, exact=True), width, height, 8).soft
    np.testing.assert_allclose(soft, bilinear(told, (down, across)), rtol=0, atol=1e-5)

    grey = comfyui_inpainting(
        Image.fromarray(picture), Mask(mask, content="grey", grow=by, exact=True), width, height, 8
    )
    own = bilinear(told, size)[:, :, top : top + height, left : left + width]
    hard = own.round()
    if (torch.abs(own - 0.5) < 1e-5).any():  # where the last bit decides
        return
    np.testing.assert_array_equal(grey.hard, hard > 0)
    if by:
        square = torch.ones(1, 1, by, by)
        summed = torch.nn.functional.conv2d(hard, square, padding=math.ceil((by - 1) / 2))
        hard = summed.clamp(0, 1)[:, :, :height, :width]
    np.testing.assert_allclose(grey.soft, bilinear(hard, (down, across)), rtol=0, atol=1e-5)
    inside = picture[top : top + height, left : left + width].transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    np.testing.assert_allclose(grey.pixels, np.where(grey.hard, 0, inside), rtol=0, atol=1e-6)
