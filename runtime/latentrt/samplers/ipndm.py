"""iPNDM: PNDM without its Runge–Kutta start, order rising from 1 to 4; arXiv:2202.09778."""

from collections.abc import Iterator

import numpy as np

from latentrt.noise import NoiseSource
from latentrt.samplers.pndm import ADAMS_BASHFORTH
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import ZERO_SNR_SIGMA, Schedule


def ipndm(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    denoises_last: bool = False,
) -> Iterator[Step]:
    """Follow ε, extrapolated from up to four evaluations as if the steps were even, in straight lines in σ.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `IPNDMScheduler`, which begins at infinite σ, or any other.
        rng: not drawn from.
        denoises_last: end in x₀ as the last evaluation has it, where σ = 0, as ComfyUI does.
    """
    outputs: list[Latents] = []  # newest first
    for at in schedule:
        denoised = denoise(x, at)
        outputs = [(x - denoised) / at.sigma, *outputs[:3]]
        combined = np.zeros_like(x)
        for weight, output in zip(ADAMS_BASHFORTH[len(outputs)], outputs, strict=True):
            combined = combined + weight * output
        # Of a sample that holds no x₀ diffusers takes out (x − ε)/10⁻⁸ = 0.
        kept = 0.0 if at.sigma == ZERO_SNR_SIGMA else x - at.sigma * combined
        x = denoised if denoises_last and at.sigma_next == 0 else kept + at.sigma_next * combined
        yield Step(at, x, denoised)
