"""RES: an exponential multistep solver of second order with the right order conditions; arXiv:2308.02157.

As ComfyUI has it: with or without fresh noise, with or without CFG++.
"""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import phi
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, denoise_apart, draw
from latentrt.schedule import Schedule


def res_multistep(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """Integrate exactly in λ = −log σ, with x₀ extrapolated from this evaluation and the one before.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    return _steps(denoise, x, schedule, rng, 0.0, 0.0, apart=False)


def res_multistep_ancestral(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """The same to below the next sigma, and noise up to it.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step, but for one to σ = 0, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, apart=False)


def res_multistep_cfg_pp(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """The same along what is predicted for the negative prompt, moved by the guidance: CFG++, arXiv:2406.08070.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    return _steps(denoise, x, schedule, rng, 0.0, 0.0, apart=True)


def res_multistep_ancestral_cfg_pp(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """CFG++ to below the next sigma, and noise up to it.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step, but for one to σ = 0, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, apart=True)


def _steps(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    eta: float,
    s_noise: float,
    *,
    apart: bool,
) -> Iterator[Step]:
    """All four; `apart` is CFG++."""
    before: Latents | None = None
    sigma_before = down_before = 0.0
    for at in schedule:
        denoised, along = denoise_apart(denoise, x, at) if apart else (denoise(x, at),) * 2
        down, up = ancestral_step(at.sigma, at.sigma_next, eta)
        # Where the evaluation before was made, from where this one's step begins; with fresh noise it is measured from
        # where that step ended without it, as there. At equal timesteps there is no slope.
        back = math.log(down_before / sigma_before) if before is not None and down_before > 0 else 0.0
        if before is None or down == 0 or back == 0 or down == at.sigma:
            x = denoised + (down / at.sigma) * (x - along)
        else:
            h = math.log(at.sigma / down)
            share = phi(2, -h) * h / back  # φ₂/c₂ of the paper, with c₂ = back/h
            x = (down / at.sigma) * (x + (denoised - along)) + h * (
                (phi(1, -h) - share) * along + share * before
            )
        if eta > 0 and at.sigma_next > 0:
            x = x + (s_noise * up) * draw(rng, x)
        before, sigma_before, down_before = along, at.sigma, down
        yield Step(at, x, denoised)
