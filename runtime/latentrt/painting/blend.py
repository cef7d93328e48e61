"""Keeping a part of a picture's latents while the rest is denoised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.samplers.step import Denoise, denoise_apart
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
        return self._kept(self.denoise(self._shown(x, at), at), at)

    def apart(self, x: Array, at: Evaluation) -> tuple[Array, Array]:
        """The same with guidance, and by the negative prompt alone."""
        guided, unguided = denoise_apart(self.denoise, self._shown(x, at), at)
        return self._kept(guided, at), self._kept(unguided, at)

    def _shown(self, x: Array, at: Evaluation) -> Array:
        """What the network sees."""
        return np.where(self._free(at.index), x, self.clean + at.sigma * self.noise) if at.index > 0 else x

    def _kept(self, denoised: Array, at: Evaluation) -> Array:
        """What is denoised where that counts. What is free in the next step begins to move with this one."""
        kept: Array = np.where(self._free(at.index + 1), denoised, self.clean)
        return kept

    def finish(self, latents: Array) -> Array:
        """Put the picture back into the final latents, without noise."""
        return np.where(self.mask > 0, latents, self.clean).astype(np.float32, copy=False)

    def _free(self, evaluation: int) -> Array:
        free: Array = (1 - self.mask <= evaluation / self.evaluations) & (self.mask > 0)
        return free


@dataclass(frozen=True, eq=False)
class SoftBlend:
    """The same as other programs do it: latents are mixed by the mask, at each evaluation alike.

    Attributes:
        denoise: the network.
        clean: latents of the picture, with what lies under the mask at first, (b or 1, c, h, w).
        mask: float32 (1, 1, h, w), 0 kept to 1 painted.
        covering: what the network sees where the picture is kept, (b, c, h, w); None: the state as it is.
        finishes: the picture is put back into the last latents.
    """

    denoise: Denoise
    clean: Array
    mask: Array
    covering: Callable[[Evaluation], Array] | None
    finishes: bool

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise."""
        return self._mixed(self.denoise(self._shown(x, at), at), self.clean)

    def apart(self, x: Array, at: Evaluation) -> tuple[Array, Array]:
        """The same with guidance, and by the negative prompt alone, which is not mixed."""
        guided, unguided = denoise_apart(self.denoise, self._shown(x, at), at)
        return self._mixed(guided, self.clean), unguided

    def finish(self, latents: Array) -> Array:
        """The final latents."""
        return self._mixed(latents, self.clean) if self.finishes else latents

    def _shown(self, x: Array, at: Evaluation) -> Array:
        return x if self.covering is None else self._mixed(x, self.covering(at))

    def _mixed(self, painted: Array, kept: Array) -> Array:
        mixed: Array = (painted * self.mask + kept * (1 - self.mask)).astype(np.float32, copy=False)
        return mixed
