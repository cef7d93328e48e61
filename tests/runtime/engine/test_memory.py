"""Memory does not grow over many generations whose sizes, batches and prompts change."""

import subprocess
import sys
from pathlib import Path

import pytest

GENERATIONS, EVERY = 200, 10  # painted, and measured after so many
MAX_GROWTH = 1.1

ANONYMOUS = """
import random
from pathlib import Path
import latentrt

def anonymous():
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
"""
PAINT = f"""
rng = random.Random(0)
with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
    for index in range({GENERATIONS}):
        width, height = (8 * rng.randint(6, 26) for _ in range(2))
        seeds = list(range(rng.choice((1, 1, 2, 3))))
        prompt = f"a small blue ring above a large red heart on {{rng.choice(('white', 'green'))}} {{index}}"
        pipeline.txt2img(prompt, width=width, height=height, num_inference_steps=2, seed=seeds)
        if index % {EVERY} == 0:
            print(anonymous())
"""
LARGE = """
with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
    for side in (64, 512, 64):
        pipeline.txt2img("a small blue ring", width=side, height=side, num_inference_steps=1, seed=1)
        print(anonymous())
"""
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").is_file(), reason="reads Linux's account of memory"
)


def measured(code: str) -> list[int]:
    """What a process of its own prints, kB."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ANONYMOUS + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
def test_memory_does_not_grow_over_generations_of_changing_sizes():
    """What is kept goes up and down with the sizes painted last: the most of each half is compared."""
    kept = measured(PAINT)
    half = len(kept) // 2
    assert min(kept) > 50_000  # networks are there
    assert max(kept[half:]) < MAX_GROWTH * max(kept[:half])


def test_a_large_picture_leaves_no_memory_behind():
    small, large, again = measured(LARGE)
    assert large - small > 80_000  # what computes is there
    assert again - small < 0.5 * (large - small)
