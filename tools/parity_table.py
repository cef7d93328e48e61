"""Measure our samplers against diffusers, and write docs/sampler-parity.md.

python tools/parity_table.py            every class; minutes
python tools/parity_table.py NAME …     print these classes' rows alone
"""

import sys
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from parity.convergence import LOWEST, SOLVERS, STOCHASTIC, moments, order  # noqa: E402
from parity.known import KNOWN  # noqa: E402
from parity.options import SPACES  # noqa: E402
from parity.verdict import EQUAL, FLOAT32, FLOAT64, ROUNDING, UNDEFINED, WRONG, Summary, examine  # noqa: E402

PAGE = ROOT / "docs" / "sampler-parity.md"

HEAD = """# Samplers against diffusers

`python tools/parity_table.py` wrote this page; diffusers {diffusers}, torch {torch}. The tests run the same grid.

Each combination is a random choice of all options of the class (betas, prediction type, spacing, sigmas, thresholding,
clipping, eta, churn, img2img strength, timesteps or sigmas of one's own, …), always the same one, with 1, 2, 5, 10, 25
or 50 steps (iPNDM, which has one option: with 1 to 50). Timesteps must be equal; the sample after every step is
compared, relative to its largest value, with the same noise on both sides. Combinations that diffusers refuses, or
answers with NaN, do not count.

- **equal**: timesteps are the same and no step differs by more than {float32:.0e} in float32. Where timesteps are
  fractions (found from sigmas), within 2.4e-4, four units in the last place of float32, or 0.05 where ᾱ was rescaled
  to zero terminal SNR: torch's square root differs by the processor.
- **rounding**: they differ by more in float32, and agree in float64; ours in float32 is within {float32:.0e} of that,
  or not twice as far from it as diffusers' is.
- **known**: see below.
- **float32**, **float64**: the worst error among the equal ones, and among every {every} of them in float64. There,
  diffusers' modules are made to take float64 for float32; the float32 tables of ᾱ are kept, and our sigmas are used
  where they are its own but for rounding.
- **order**: the slope of log error over log steps (96 to 768), on data drawn from a Gaussian, whose path is known.

| class | combinations | equal | rounding | known | float32 | float64 | order |
|---|---|---|---|---|---|---|---|
"""
EVERY = 2


def row(summary: Summary) -> str:
    """The class's row."""
    known = sum(summary.counts[key] for key in KNOWN)
    counts = f"{summary.counts[EQUAL]} | {summary.counts[ROUNDING]} | {known or '–'}"
    errors = f"{summary.float32:.1e} | {summary.float64:.1e}"
    return (
        f"| `{summary.class_name}` | {summary.tried} | {counts} | {errors} | {orders(summary.class_name)} |"
    )


def orders(class_name: str) -> str:
    """What was measured of its solvers; of those that only add noise, what deviation they end in."""
    measured = [
        f"{order(solver):.2f}" + (f" ({solver.label})" if solver.label else "")
        for solver in SOLVERS
        if solver.class_name == class_name
    ]
    measured += [
        f"deviation ×{moments(solver)[1]:.2f}" + (f" ({solver.label})" if solver.label else "")
        for solver in STOCHASTIC
        if solver.class_name == class_name
    ]
    return ", ".join(measured) or "jumps"


def main() -> None:
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(SPACES)
    summaries = []
    for name in names:
        summaries.append(examine(name, wide_every=EVERY))
        print(row(summaries[-1]), file=sys.stderr, flush=True)
        for wrong in summaries[-1].wrong:
            print(wrong, file=sys.stderr)
    if any(summary.counts[WRONG] for summary in summaries):
        raise SystemExit("the page is not written")
    if sys.argv[1:]:
        return
    text = HEAD.format(
        diffusers=version("diffusers"),
        torch=version("torch").split("+")[0],
        float32=FLOAT32,
        float64=FLOAT64,
        every=f"{EVERY}{'nd' if EVERY == 2 else 'th'}".removesuffix("th"),
    )
    text += "\n".join(row(summary) for summary in summaries)
    total = sum(summary.tried for summary in summaries)
    equal = sum(summary.counts[EQUAL] for summary in summaries)
    undefined = sum(summary.counts[UNDEFINED] for summary in summaries)
    text += (
        f"\n\nIn all {total} combinations, {equal} of them equal; {undefined} more give NaN in diffusers.\n"
    )
    text += (
        f'\n"deviation" is that of 10,000 samples of a solver that adds noise, taken to σ = {LOWEST} in 200 steps, '
        "over what it should be; the sampling error is 0.7 %.\n\n## Where we differ\n\n"
    )
    for key, (_, reason) in KNOWN.items():
        count = sum(summary.counts[key] for summary in summaries)
        text += f"- **{key}** ({count} combinations): {reason}\n"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
