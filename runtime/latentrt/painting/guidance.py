"""How far each step goes from the negative prompt to the prompt, and in which steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.checks import number
from latentrt.errors import InputError

Array = npt.NDArray[Any]

# One number; points spread evenly over the run, linear in between; or what to ask for each step, counted from 0.
GuidanceScale: TypeAlias = float | Sequence[float] | Callable[[int], float]

WHOLE_RUN = (0.0, 1.0)


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance of one run; made by `make_guidance`.

    Attributes:
        scales: for each evaluation of the network; 1 where there is no guidance, and so no second evaluation.
        points: what was asked for: one scale, or several that are spread over the run.
        interval: first and last share of the run in which there is guidance.
        rescale: φ of `guided`, in [0, 1].
    """

    scales: tuple[float, ...]
    points: tuple[float, ...]
    interval: tuple[float, float] = WHOLE_RUN
    rescale: float = 0.0

    @property
    def is_guided(self) -> bool:
        """Whether any evaluation is guided."""
        return any(scale > 1 for scale in self.scales)

    def guided(self, negative: Array, positive: Array, scale: float) -> Array:
        """Raw outputs of the network, each (b, c, h, w), become one."""
        # classifier-free guidance, arXiv:2207.12598 eq. 6
        output = negative + scale * (positive - negative)
        if self.rescale == 0:
            return output
        # arXiv:2305.08891 eq. 15 and 16: the deviation of the prompt's output, in a share φ
        rescaled = output * (_deviation(positive) / _deviation(output))
        mixed: Array = self.rescale * rescaled + (1 - self.rescale) * output
        return mixed


def make_guidance(
    scale: GuidanceScale,
    evaluations: int,
    order: int = 1,
    interval: tuple[float, float] | None = None,
    rescale: float | None = None,
) -> Guidance:
    """Settle the scale of each evaluation.

    Args:
        scale: see `GuidanceScale`; 1 or less is no guidance.
        evaluations: of the network in the run.
        order: evaluations to a step.
        interval: guidance in those steps alone that lie in this share of the run (arXiv:2404.07724); step i of n
            covers the share from i/n to (i + 1)/n.
        rescale: φ, in [0, 1].

    Raises:
        InputError: a scale is not finite, the interval is none in [0, 1] or holds no step, or φ is out of range.
    """
    steps = -(-evaluations // order)
    if callable(scale):
        points = tuple(number("guidance_scale", scale(step)) for step in range(steps))
    elif isinstance(scale, Sequence | np.ndarray) and not isinstance(scale, str):
        points = tuple(number("guidance_scale", point) for point in scale)
        if not points:
            raise InputError("guidance_scale: expected a number, or several; got none")
    else:
        points = (number("guidance_scale", scale),)
    start, end = WHOLE_RUN if interval is None else _interval(interval)
    phi = number("guidance_rescale", 0.0 if rescale is None else rescale, 0, 1)
    spread = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(points)), points)
    inside = [start <= step / steps and (step + 1) / steps <= end for step in range(steps)]
    if not any(inside):
        raise InputError(
            f"guidance_interval: {start:g} to {end:g} covers no whole step of {steps}, each {1 / steps:.3g} long"
        )
    by_step = [float(value) if active else 1.0 for value, active in zip(spread, inside, strict=True)]
    scales = tuple(by_step[evaluation // order] for evaluation in range(evaluations))
    return Guidance(scales, points, (start, end), phi)


def _interval(interval: Any) -> tuple[float, float]:
    try:
        start, end = (float(share) for share in interval)
    except (TypeError, ValueError):
        start = end = math.nan
    if not 0 <= start < end <= 1:
        raise InputError(
            f"guidance_interval: expected (start, end) with 0 <= start < end <= 1, got {interval!r}"
        )
    return start, end


def _deviation(output: Array) -> Array:
    """Standard deviation of each picture, (b, 1, 1, 1), as torch counts it: over n − 1 values."""
    deviation: Array = output.std(axis=tuple(range(1, output.ndim)), ddof=1, keepdims=True)
    return deviation
