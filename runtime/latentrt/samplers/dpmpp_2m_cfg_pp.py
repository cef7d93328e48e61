"""DPM-Solver++ 2M with CFG++, as ComfyUI has it; arXiv:2211.01095 and 2406.08070."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import log_step
from latentrt.samplers.step import Denoise, Latents, Step, denoise_apart
from latentrt.schedule import Schedule


def dpmpp_2m_cfg_pp(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """Go to the guided x₀ and back along the noise of the negative prompt; the slope lies between the two predictions.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    before: Latents | None = None
    h_before = 0.0
    for at in schedule:
        denoised, unguided = denoise_apart(denoise, x, at)
        h, decay = log_step(at.sigma, at.sigma_next), at.sigma_next / at.sigma
        x = denoised + decay * (x - unguided)
        if before is not None and at.sigma_next > 0 and h_before > 0:
            # algorithm 2 of DPM-Solver++, with the guided x₀ here and the unguided before, as there
            x = x + ((1 - decay) * h / (2 * h_before)) * (denoised - before)
        before, h_before = unguided, h
        yield Step(at, x, denoised)
