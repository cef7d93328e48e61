"""Keeping a part of a picture's latents while the rest is denoised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.samplers.step import Denoise
from latentrt.schedule import Evaluation

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Blend:
    """A denoiser over a denoiser: what is kept goes in as the picture at the same noise level, and comes out clean.

    That is how diffusers inpaints with a UNet made for text to image: after each step it puts the picture back, at the
    noise level of the next. Solvers work on each latent by itself, so that it comes to the same whether what is kept is
    put back into their state or, as here, into what the network sees. The network's first look is at the solver's state
    as it is: noise alone, where the run begins there.

    Differential diffusion (arXiv:2306.00950) frees each latent at a step of its own: those of a mask of 1 from the
    first of n steps on, those of 1/2 in the last half, those of 0 never.

    Attributes:
        denoise: the network.
        clean: latents of the picture, (b or 1, c, h, w).
        noise: unit variance, (b, c, h, w): what the run began with.
        mask: float32 (1, 1, h, w), 0 kept to 1 painted; with values in between: differential.
        evaluations: of the network in the run.
    """

    denoise: Denoise
    clean: Array
    noise: Array
    mask: Array
    evaluations: int

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise, where it is free."""
        if at.index > 0:
            x = np.where(self._free(at.index), x, self.clean + at.sigma * self.noise)
        # What is free in the next step begins to move with this one.
        kept: Array = np.where(self._free(at.index + 1), self.denoise(x, at), self.clean)
        return kept

    def finish(self, latents: Array) -> Array:
        """Put the picture back into the final latents, without noise."""
        return np.where(self.mask > 0, latents, self.clean).astype(np.float32, copy=False)

    def _free(self, evaluation: int) -> Array:
        free: Array = (1 - self.mask <= evaluation / self.evaluations) & (self.mask > 0)
        return free
