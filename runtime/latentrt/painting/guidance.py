"""How far each step goes from the negative prompt to the prompt, and in which steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.checks import number
from latentrt.errors import SettingError
from latentrt.painting.kinds import GuidanceScale
from latentrt.painting.settings import WHOLE_RUN
from latentrt.schedule import Schedule

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance of one run; made by `make_guidance`.

    Attributes:
        scales: for each evaluation of the network; where they are not `guides`, there is no second evaluation.
        points: what was asked for: one scale, or several that are spread over the run.
        interval: first and last share of the run in which there is guidance.
        rescale: φ of `guided`, in [0, 1].
        image_scale: of a model that edits a picture, how far to go from no picture to it; 1 is as far as it is shown,
            and of all other models.
        below_one: a scale below 1 goes from the prompt back to the negative prompt, and beyond it; else it is as 1.
    """

    scales: tuple[float, ...]
    points: tuple[float, ...]
    interval: tuple[float, float] = WHOLE_RUN
    rescale: float = 0.0
    image_scale: float = 1.0
    below_one: bool = False

    @property
    def is_guided(self) -> bool:
        """Whether any evaluation is guided."""
        return any(map(self.guides, self.scales))

    def guides(self, scale: float) -> bool:
        """Whether the network is asked what it makes of the negative prompt, too."""
        return not math.isclose(scale, 1) if self.below_one else scale > 1

    def guided(self, negative: Array, positive: Array, scale: float, blind: Array | None = None) -> Array:
        """Raw outputs of the network, each (b, c, h, w), become one.

        Args:
            negative: for the negative prompt.
            positive: for the prompt.
            scale: how far to go from the one to the other.
            blind: for the negative prompt and no picture, where `image_scale` is not 1.
        """
        # classifier-free guidance, arXiv:2207.12598 eq. 6
        output = negative + scale * (positive - negative)
        if blind is not None:
            # arXiv:2211.09800 eq. 3, of which the lines above are the case s_I = 1
            output += (self.image_scale - 1) * (negative - blind)
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
    interval: tuple[float, float] = WHOLE_RUN,
    rescale: float = 0.0,
    image_scale: float = 1.0,
    below_one: bool = False,
) -> Guidance:
    """Settle the scale of each evaluation.

    Args:
        scale: see `GuidanceScale`, of finite numbers; 1 is no guidance.
        evaluations: of the network in the run; 0 where it gives a picture back as it is.
        order: evaluations to a step.
        interval: (start, end): guidance in those steps alone that lie in this share of the run (arXiv:2404.07724); step
            i of n covers the share from i/n to (i + 1)/n.
        rescale: φ, in [0, 1].
        image_scale: see `Guidance`.
        below_one: likewise.

    Raises:
        SettingError: a scale that a function gives is not finite, or the interval holds no step.
    """
    steps = -(-evaluations // order)
    start, end = interval
    if callable(scale):
        points = tuple(number("guidance_scale", scale(step)) for step in range(max(steps, 1)))
    else:
        points = tuple(np.atleast_1d(scale).tolist())
    spread = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(points)), points)
    inside = [start <= step / steps and (step + 1) / steps <= end for step in range(steps)]
    if steps and not any(inside):
        raise SettingError(
            "guidance_interval",
            f"{start:g} to {end:g} covers no whole step of {steps}, each {1 / steps:.3g} long",
        )
    by_step = [float(value) if active else 1.0 for value, active in zip(spread, inside, strict=True)]
    scales = tuple(by_step[evaluation // order] for evaluation in range(evaluations))
    return Guidance(scales, points, interval, rescale, image_scale, below_one)


def skipping(guidance: Guidance, schedule: Schedule, below: float | None, early: float | None) -> Guidance:
    """The same, the prompt alone being asked in some evaluations, as AUTOMATIC1111 can; it counts these, not steps.

    Args:
        guidance: of the run.
        schedule: likewise.
        below: its NGMS: of evaluations below this σ those of odd number.
        early: its "Skip Early CFG": this share of the evaluations, at the beginning.
    """
    total = -(-len(schedule) // schedule.order) * schedule.order
    sigmas = schedule.sigmas.tolist()
    left_out = [
        (below is not None and i % 2 == 1 and sigmas[i] < below) or bool(early and i / total <= early)
        for i in range(len(schedule))
    ]
    scales = tuple(1.0 if out else scale for scale, out in zip(guidance.scales, left_out, strict=True))
    return replace(guidance, scales=scales)


def refuse_below(lowest: float | None, program: str, points: tuple[float, ...]) -> None:
    """Refuse a scale that a program does not take.

    Raises:
        SettingError: it is below the lowest; None: there is none.
    """
    if lowest is not None and min(points) < lowest:
        raise SettingError(
            "guidance_scale", f"expected {lowest:g} or more with like {program}, got {min(points):g}"
        )


def refuse_unguided(asked: Mapping[str, Any]) -> None:
    """Refuse what counts beside guidance alone, in a run without.

    Raises:
        SettingError: it was asked for.
    """
    if asked.get("image_guidance_scale") is not None:
        raise SettingError(
            "image_guidance_scale",
            "does nothing without guidance; expected a guidance_scale above 1",
            others=("guidance_scale",),
        )


def _deviation(output: Array) -> Array:
    """Standard deviation of each picture, (b, 1, 1, 1), as torch counts it: over n − 1 values."""
    deviation: Array = output.std(axis=tuple(range(1, output.ndim)), ddof=1, keepdims=True)
    return deviation
