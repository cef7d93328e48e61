"""DPM-Solver++ 3M SDE; k-diffusion's `sample_dpmpp_3m_sde` with any η."""

import math
from collections.abc import Iterator

from latentrt.noise import BrownianMotion, NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, increment
from latentrt.schedule import Schedule


def dpmpp_3m_sde(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    path: BrownianMotion | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Integrate the reverse SDE in λ = −log σ with D extrapolated from three evaluations: arXiv:2211.01095.

    Not diffusers' third order of `sde-dpmsolver++`, in which the weight of D₂ has −½ for +½.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step, but for one to σ = 0, where eta > 0.
        eta: how much of the reverse SDE's noise there is: 0 is the ODE.
        s_noise: the deviation of that noise.
        path: to follow, in place of drawing from `rng`.
    """
    seen: list[tuple[Latents, float]] = []  # D and the h of the step from it, newest first
    for at in schedule:
        denoised = denoise(x, at)
        if at.sigma_next == 0:
            yield Step(at, denoised, denoised)
            return
        h = math.log(at.sigma / at.sigma_next)
        z = (1 + eta) * h
        x = math.exp(-z) * x - math.expm1(-z) * denoised
        if seen and h > 0:
            phi_2 = math.expm1(-z) / z + 1
            before, h_1 = seen[0]
            r_0 = h_1 / h
            first = (denoised - before) / r_0
            if len(seen) == 2:
                r_1 = seen[1][1] / h
                difference = first - (before - seen[1][0]) / r_1
                first = first + difference * (r_0 / (r_0 + r_1))
                x = x - (phi_2 / z - 0.5) / (r_0 + r_1) * difference
            x = x + phi_2 * first
        if eta > 0:
            up = s_noise * at.sigma_next * math.sqrt(-math.expm1(-2 * eta * h))
            x = x + up * increment(path, rng, x, at)
        # Two equal timesteps make a step of length 0, across which there is no slope.
        seen = [(denoised, h), *seen[:1]] if h > 0 else []
        yield Step(at, x, denoised)
