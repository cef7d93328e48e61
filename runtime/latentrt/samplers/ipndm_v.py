"""iPNDM with steps of uneven length, as the authors of diff-sampler and ComfyUI have it; after arXiv:2202.09778."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule

_MAX_ORDER = 4


def ipndm_v(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """Follow ε, extrapolated from up to four evaluations, in straight lines in σ.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other without equal neighbours.
        rng: not drawn from.
    """
    outputs: list[Latents] = []  # newest first
    for at in schedule:
        denoised = denoise(x, at)
        outputs = [(x - denoised) / at.sigma, *outputs[: _MAX_ORDER - 1]]
        if at.sigma_next == 0:
            x = denoised
        else:
            points = [at.sigma_next, *schedule.sigmas[at.index :: -1][: len(outputs)].tolist()]
            steps = [end - begin for end, begin in pairwise(points)]
            for weight, output in zip(_weights(steps), outputs, strict=True):
                x = x + (steps[0] * weight) * output
        yield Step(at, x, denoised)


def _weights(steps: Sequence[float]) -> list[float]:
    """Weigh the outputs, newest first, by the lengths of this step and those before: Newton's form, term by term.

    Two slips of the authors' code are kept, so that a picture comes out as theirs: the second difference's factor is
    1 − a·b for (1 − a)·b, and the fourth output has h₁/h₂ for h₂/h₃. Both count only where the steps are uneven in σ.
    """
    h, *before = steps
    if 0 in before:
        before = before[: before.index(0)]  # equal timesteps: no slope behind them
    weights = [1.0]
    if before:
        slope = h / before[0] / 2
        weights = [1 + slope, -slope]
    if len(before) > 1:
        h1, h2 = before[:2]
        second = (1 - h * h / (3 * h1 * (h1 + h2))) / 2
        weights = [
            weights[0] + second,
            weights[1] - (1 + h1 / h2) * second,
            second * h1 / h2,
        ]
    if len(before) > 2:
        h1, h2, h3 = before
        reach = h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
        third = ((1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))) * reach
        far = h1 * (h1 + h2) / (h2 * (h2 + h3))
        weights = [
            weights[0] + third,
            weights[1] - (1 + h1 / h2 + far) * third,
            weights[2] + (h1 / h2 + far * (1 + h2 / h3)) * third,
            -third * far * h1 / h2,
        ]
    return weights + [0.0] * (len(steps) - len(weights))
