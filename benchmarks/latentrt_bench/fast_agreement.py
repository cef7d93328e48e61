"""Measure how far pictures of fast recipes are from the exact ones, and what they save, over many prompts.

    python -m latentrt_bench.fast_agreement
    python -m latentrt_bench.fast_agreement --prompts 16 --samplers euler ddim --recipes cache=2 guidance=0-0.8

Prints a table of docs/speed.md: for every sampler and recipe the evaluations of the network, how many times less that
is, and how many times less time a picture takes without loading; the PSNR of the pictures to the exact ones, mean and
worst; and the same of pictures of so many plain steps as there are evaluations. Pictures of the included model; prompt
n, which training never saw, has the seed n. Exact, fast and plain are painted one after the other for each prompt.
Interrupted (Ctrl-C), it prints the table over the prompts that it has come through.
"""

import argparse
import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import latentrt
from latentrt.models.demo.scenes import caption, sample_held_out
from latentrt.painting.caching import computed
from latentrt.painting.fast import FastKind
from latentrt.pictures.difference import psnr

Array = npt.NDArray[Any]

SEED = 2026  # of the prompts
NEW_PAIRS = 4  # one of so many names a shape in a colour that it never has in training
HEADER = (
    "| sampler | steps | recipe | evaluations | fewer | time | mean, dB | worst | so many plain steps: mean | worst |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class Agreement:
    """One recipe with one sampler, over the prompts so far."""

    sampler: str
    steps: int
    recipe: str
    evaluations: float = 0.0
    near: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)  # exact and fast

    def row(self) -> str:
        """A row of the table."""
        exact, fast = (sum(pair[i] for pair in self.seconds) for i in range(2))
        figures = [
            f"{self.evaluations:g}",
            f"{self.steps / self.evaluations:.2f}×",
            f"{exact / fast:.2f}×",
            *(f"{value:.1f}" for value in (np.mean(self.near), min(self.near))),
            *(f"{value:.1f}" for value in (np.mean(self.plain), min(self.plain))),
        ]
        return f"| {self.sampler} | {self.steps} | `{self.recipe}` | {' | '.join(figures)} |"


def prompts(count: int) -> list[str]:
    """Prompts of the included model, which training never saw."""
    rng = np.random.default_rng(SEED)
    return [caption(sample_held_out(rng, new_pair=n % NEW_PAIRS == 0), rng) for n in range(count)]


def measure(
    pipeline: latentrt.Pipeline, one: Agreement, prompt: str, seed: int, exact: latentrt.Result
) -> None:
    """Paint one prompt by a recipe, and in so many plain steps, and add how far both are from the exact picture."""
    work: dict[str, Any] = {"seed": seed, "sampler": one.sampler}
    generation = pipeline.start_txt2img(prompt, fast=one.recipe, num_inference_steps=one.steps, **work)
    guides = generation.request.guidance
    asked = [guides.guides(guides.scales[index]) for index in computed(generation.request)]
    one.evaluations = sum(1.0 if guided else 0.5 for guided in asked)
    fast = generation.result()
    plain = pipeline.txt2img(prompt, num_inference_steps=math.ceil(one.evaluations), **work)
    one.near.append(psnr(exact.images[0], fast.images[0]))
    one.plain.append(psnr(exact.images[0], plain.images[0]))
    one.seconds.append((_seconds(exact), _seconds(fast)))


def _seconds(result: latentrt.Result) -> float:
    return sum(seconds for stage, seconds in result.timings.items() if stage not in ("load", "total"))


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--samplers", nargs="+", default=["dpmpp_2m"])
    parser.add_argument("--recipes", nargs="+", default=["light", "balanced", "strong", "extreme"])
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    recipes = [str(FastKind().read("fast", recipe)) for recipe in args.recipes]
    found = [Agreement(sampler, args.steps, recipe) for sampler in args.samplers for recipe in recipes]
    done = 0
    with latentrt.load("demo", device=args.device, dtype="fp32") as pipeline:
        try:
            for seed, prompt in enumerate(prompts(args.prompts)):
                for sampler in args.samplers:
                    exact = pipeline.txt2img(
                        prompt, seed=seed, sampler=sampler, num_inference_steps=args.steps
                    )
                    for one in (one for one in found if one.sampler == sampler):
                        measure(pipeline, one, prompt, seed, exact)
                done += 1
                told = (
                    f"{one.sampler} {one.recipe}: {one.near[-1]:.1f} ({one.plain[-1]:.1f})" for one in found
                )
                print(f"{done} of {args.prompts}: {', '.join(told)}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    if done:
        print(f"{done} prompts\n\n{HEADER}")
        print("\n".join(one.row() for one in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
