"""DPM-Solver++ 2S with fresh noise at every step; k-diffusion's `sample_dpmpp_2s_ancestral`."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.dpm_2 import ancestral_middle
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule


def dpmpp_2s_ancestral(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step to below the next sigma with the x₀ seen half way there, and add noise up to it: arXiv:2211.01095.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2AncestralDiscreteScheduler`: half way in log σ to σ_down = σ'²/σ is σ'. With another eta
            the middle is another, whose timestep the schedule tells.
        rng: drawn from once a step of two evaluations, where eta > 0.
        eta: how much of the noise is fresh: 0 none, a step of the ODE; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    begin, begin_sigma, middle, down, up = x, 0.0, 0.0, 0.0, 0.0
    for at in schedule:
        if at.index % 2 == 0:
            denoised = denoise(x, at)
            begin, begin_sigma = x, at.sigma
            middle, down, up = ancestral_middle(schedule, at, eta)
            x = denoised + (middle / at.sigma) * (x - denoised)
        else:
            denoised = denoise(x, schedule.evaluation(at, middle))
            x = denoised + (down / begin_sigma) * (begin - denoised)
            if eta > 0:
                x = x + (s_noise * up) * draw(rng, x)
        yield Step(at, x, denoised)
