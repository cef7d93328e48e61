"""Euler's method for flow matching, and its stochastic form."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.euler import euler
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule


def flow_euler(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    stochastic_sampling: bool = False,
) -> Iterator[Step]:
    """Step along the straight path; or go to its end, x₀, each time, and back with fresh noise.

    A straight path of (1 − s)·x₀ + s·ε is one of x₀ + σ·ε: in sigma space this is `euler`.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `FlowMatchEulerDiscreteScheduler`, or any other.
        rng: drawn from once a step of the stochastic form, also in the last, where it counts nothing.
        stochastic_sampling: which of the two.
    """
    if not stochastic_sampling:
        yield from euler(denoise, x, schedule)
        return
    for at in schedule:
        denoised = denoise(x, at)
        x = denoised + at.sigma_next * draw(rng, x)
        yield Step(at, x, denoised)
