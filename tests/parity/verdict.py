"""What a comparison says, and of a whole class."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from latentrt.errors import InputError
from parity.case import Case
from parity.compare import Comparison
from parity.grid import cases
from parity.known import KNOWN
from parity.options import COUNTS, SPACES
from parity.oracle import InvalidError

COMBINATIONS = 300
FLOAT32, FLOAT64 = 1e-5, 1e-10
# Fractions of timesteps, found from sigmas: four units in the last place of a float32 of 512 and more.
TIMESTEP = 4 * 2.0**-14
# The same, in a table that was rescaled to zero terminal SNR: the rounding of its square roots moves the table itself.
RESCALED_TIMESTEP = 0.05
# float64 is finer than float32 by 2⁻²⁹; a case that enlarges the rounding of one enlarges that of the other.
_CONDITION = 2.0**-27

EQUAL = "equal"
ROUNDING = "rounding"
UNDEFINED = "undefined"
WRONG = "wrong"


@dataclass
class Summary:
    """What came of a class's combinations.

    Attributes:
        class_name: the class.
        tried: combinations that diffusers runs and gives numbers for.
        counts: how many of each verdict; a key of `KNOWN` where it is one of those.
        float32: the worst error of the equal ones, see `Comparison`.
        float64: likewise, of those of which it was measured.
        wide: how many that were.
        steps: how many combinations with each number of steps.
        wrong: what is wrong, in words.
    """

    class_name: str
    tried: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    float32: float = 0.0
    float64: float = 0.0
    wide: int = 0
    steps: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def judge(comparison: Comparison, *, wide: bool) -> str:
    """Say what the comparison shows: `EQUAL`, `ROUNDING`, `UNDEFINED`, a key of `KNOWN`, or `WRONG` with the reason.

    `ROUNDING`: float32 runs differ by more than `FLOAT32`, but the float64 runs agree, and ours in float32 is within
    `FLOAT32` of them, or not twice as far as diffusers': the difference is rounding, enlarged by the case itself.

    Args:
        comparison: of a case that diffusers does not refuse.
        wide: measure float64 too, even where float32 agrees.
    """
    known = next((key for key, (applies, _) in KNOWN.items() if applies(comparison.case)), None)
    if not comparison.defined:
        try:
            finite = all(np.isfinite(sample).all() for sample in comparison.ours.samples)
        except InputError:
            finite = True
        return UNDEFINED if finite or known else f"{WRONG}: not finite, as in diffusers"
    try:
        problem = _problem(comparison, wide=wide)
    except InputError as error:
        problem = f"refused: {error}"
    if problem is None:
        exact = comparison.timesteps <= RESCALED_TIMESTEP and comparison.float32 <= FLOAT32
        return EQUAL if exact else ROUNDING
    return known or f"{WRONG}: {problem}"


def _problem(c: Comparison, *, wide: bool) -> str | None:
    fractions = not np.array_equal(c.diffusers.timesteps, np.round(c.diffusers.timesteps))
    near = RESCALED_TIMESTEP if c.case.config.get("rescale_betas_zero_snr") else TIMESTEP
    if c.timesteps > (near if fractions else 0.0):
        rounded = c.timesteps < np.inf and np.allclose(
            c.ours64.timesteps, c.diffusers64.timesteps, rtol=0, atol=TIMESTEP
        )
        if not rounded:
            return f"timesteps differ by {c.timesteps:.1e}"
    if wide and c.defined64 and c.float64 > FLOAT64 and c.float64 > _CONDITION * c.rounding_of_diffusers:
        return f"float64 runs differ by {c.float64:.1e}, float32 by {c.float32:.1e}"
    if c.float32 <= FLOAT32:
        return None
    if c.float64 > max(FLOAT64, _CONDITION * c.rounding_of_diffusers):
        return f"float32 runs differ by {c.float32:.1e}, float64 by {c.float64:.1e}"
    if c.rounding_of_ours > max(FLOAT32, 2 * c.rounding_of_diffusers):
        return f"float32 costs ours {c.rounding_of_ours:.1e}, diffusers {c.rounding_of_diffusers:.1e}"
    return None


def examine(
    class_name: str,
    combinations: int = COMBINATIONS,
    *,
    wide_every: int = 4,
    seen: Callable[[Case], None] | None = None,
) -> Summary:
    """Compare at least so many combinations of a class, each number of steps in a sixth of them; or all there are.

    Args:
        class_name: a diffusers scheduler.
        combinations: how many that diffusers runs.
        wide_every: measure every such combination in float64.
        seen: told of each that counts.
    """
    summary = Summary(class_name)
    share = combinations // len(COUNTS) if "count" not in SPACES[class_name] else 0
    for case in cases(class_name):
        if summary.tried >= combinations and all(summary.steps[count] >= share for count in COUNTS):
            break
        comparison = Comparison(case)
        try:
            comparison.diffusers  # noqa: B018
        except InvalidError:
            continue
        wide = summary.tried % wide_every == 0
        verdict = judge(comparison, wide=wide)
        if verdict.startswith(WRONG):
            summary.wrong.append(f"{verdict}\n    {case.label()}")
            verdict = WRONG
        summary.counts[verdict] += 1
        if verdict == UNDEFINED:
            continue
        summary.tried += 1
        summary.steps[case.count] += 1
        if seen is not None:
            seen(case)
        if verdict == EQUAL:
            summary.float32 = max(summary.float32, comparison.float32)
        if verdict == EQUAL and wide and comparison.defined64:
            summary.wide += 1
            summary.float64 = max(summary.float64, comparison.float64)
    return summary
