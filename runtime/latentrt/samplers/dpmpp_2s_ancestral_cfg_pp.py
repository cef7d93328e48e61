"""DPM-Solver++ 2S with CFG++ and fresh noise, as ComfyUI has it; arXiv:2211.01095 and 2406.08070."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, denoise_apart, draw
from latentrt.schedule import Schedule


def dpmpp_2s_ancestral_cfg_pp(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    steps_unguided: bool = False,
) -> Iterator[Step]:
    """Step with the x₀ seen half way to below the next sigma, moved by the guidance, and add noise up to it.

    Args:
        denoise: the network; asked for both predictions, twice a step but for one to σ = 0.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of the middles.
        rng: drawn from once a step, but for one to σ = 0, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.
        steps_unguided: step with the unguided x₀, and move by the guidance at the end of the step, as later versions of
            ComfyUI do. That of 2025 takes the guidance between one evaluation and the other, which does not converge:
            with ever more steps the run tends to something else than the ODE's solution.
    """
    for at in schedule:
        denoised, unguided = denoise_apart(denoise, x, at)
        down, up = ancestral_step(at.sigma, at.sigma_next, eta)
        guidance = denoised - unguided
        guided = unguided if steps_unguided else denoised
        if down > 0:
            middle = math.sqrt(at.sigma * down)
            between = guided + (middle / at.sigma) * (x - unguided)
            # There the guidance moves x as seen in the middle, from x₀ as seen at the beginning.
            guided, unguided = denoise_apart(denoise, between, schedule.evaluation(at, middle))
        if steps_unguided:
            x = unguided + (down / at.sigma) * (x - unguided)
        else:
            x = guided + (down / at.sigma) * (x + (denoised - unguided) - guided)
        if eta > 0 and at.sigma_next > 0:
            x = x + (s_noise * up) * draw(rng, x)
        if steps_unguided:
            x = x + guidance
        yield Step(at, x, denoised)
