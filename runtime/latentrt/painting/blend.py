"""Keeping a part of a picture's latents while the rest is denoised."""

from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.samplers.step import Denoise

Array = npt.NDArray[Any]


class Blend:
    """A denoiser over a denoiser: what is kept goes in as the picture at the same noise level, and comes out clean.

    That is how diffusers inpaints with a UNet made for text to image: after each step it puts the picture back, at the
    noise level of the next. Solvers work on each latent by itself, so that it comes to the same whether what is kept is
    put back into their state or, as here, into what the network sees. The network's first look is at the solver's state
    as it is: noise alone, where the run begins there.

    Differential diffusion (arXiv:2306.00950) frees each latent at a step of its own: those of a mask of 1 from the
    first of n steps on, those of 1/2 in the last half, those of 0 never.

    Args:
        denoise: the network.
        clean: latents of the picture, (b or 1, c, h, w).
        noise: unit variance, (b, c, h, w): what the run began with.
        mask: float32 (1, 1, h, w), 0 kept to 1 painted; with values in between: differential.
        evaluations: of the network in the run.
    """

    def __init__(self, denoise: Denoise, clean: Array, noise: Array, mask: Array, evaluations: int) -> None:
        self._denoise = denoise
        self._clean = clean
        self._noise = noise
        self._mask = mask
        self._evaluations = evaluations
        self._evaluation = 0

    def __call__(self, x: Array, sigma: float, timestep: float) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise, where it is free."""
        if self._evaluation > 0:
            x = np.where(self._free(self._evaluation), x, self._clean + sigma * self._noise)
        denoised = self._denoise(x, sigma, timestep)
        # What is free in the next step begins to move with this one.
        self._evaluation += 1
        kept: Array = np.where(self._free(self._evaluation), denoised, self._clean)
        return kept

    def finish(self, latents: Array) -> Array:
        """Put the picture back into the final latents, without noise."""
        return np.where(self._free(self._evaluations), latents, self._clean).astype(np.float32, copy=False)

    def _free(self, evaluation: int) -> Array:
        free: Array = (1 - self._mask <= evaluation / self._evaluations) & (self._mask > 0)
        return free
