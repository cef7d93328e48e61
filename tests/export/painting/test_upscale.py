"""Enlarging latents against torch's F.interpolate."""

import numpy as np
import pytest
import torch

from latentrt.errors import InputError
from latentrt.painting.upscale import UPSCALERS, find_upscaler, interpolate

SIZES = [
    ((8, 8), (16, 16)),
    ((7, 13), (11, 17)),
    ((16, 9), (24, 27)),
    ((5, 6), (5, 6)),
    ((16, 12), (9, 5)),
    ((1, 3), (4, 7)),
]


OF_TORCH = [name for name, one in UPSCALERS.items() if one.latent and one.mode != "bislerp"]


@pytest.mark.parametrize("name", OF_TORCH)
def test_interpolation_equals_torch(name):
    upscaler = UPSCALERS[name]
    for before, after in SIZES:
        x = np.random.default_rng(0).standard_normal((2, 4, *before)).astype(np.float32)
        wanted = torch.nn.functional.interpolate(
            torch.from_numpy(x), size=after, mode=upscaler.mode, antialias=upscaler.antialias
        ).numpy()
        got = interpolate(x, after, upscaler.mode, upscaler.antialias)
        assert got.dtype == np.float32
        # torch rounds the ratio of the sizes to float32, and with it where between two pixels it reads.
        assert np.abs(got - wanted).max() < 6e-6, (before, after)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_takes_torchs_pixel_at_every_size(mode):
    for before in range(1, 40):
        x = np.arange(before, dtype=np.float32).reshape(1, 1, 1, before)
        for after in range(1, 90):
            wanted = torch.nn.functional.interpolate(torch.from_numpy(x), size=(1, after), mode=mode).numpy()
            assert np.array_equal(interpolate(x, (1, after), mode), wanted), (before, after)


def test_names():
    for name, upscaler in UPSCALERS.items():
        assert find_upscaler(name) is find_upscaler(upscaler.label) is upscaler
    with pytest.raises(InputError, match="expected one of latent, .*, got 'esrgan'"):
        find_upscaler("esrgan")
    with pytest.raises(InputError, match="no such mode: nearest, antialiased"):
        interpolate(np.zeros((1, 1, 2, 2), np.float32), (4, 4), "nearest", antialias=True)
