"""Every scheduler class against diffusers live, over a grid of its options: 300 combinations each, see tests/parity.

Each step's sample is compared in float32, and for every eighth combination in float64, with the same noise on both
sides. Where the two differ by more than 1e-5 in float32, the float64 runs decide; what is left is in `parity.known`,
with the reason.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from latentrt.schedule import CLASSES
from parity.grid import cases
from parity.known import KNOWN
from parity.options import COUNTS, SPACES
from parity.oracle import scheduler_class
from parity.verdict import COMBINATIONS, FLOAT32, FLOAT64, examine

ROOT = Path(__file__).parents[3]
# Options that change no result here, or only with others: what is left out of the grid, and why.
LEFT_OUT = {
    "num_train_timesteps": "with the betas",
    "beta_start": "with the betas",
    "beta_end": "with the betas",
    "beta_schedule": "with the betas",
    "trained_betas": "with the betas; IPNDM then wants one beta for each step and one more",
    "flow_shift": "with the flow sigmas",
    "solver_p": "a scheduler, which no config file holds",
    "tau_func": "a function, which no config file holds",
    "base_shift": "read by pipelines, which make mu of it",
    "max_shift": "likewise",
    "base_image_seq_len": "likewise",
    "max_image_seq_len": "likewise",
    "noise_sampler_seed": "of the Brownian path, which is given",
    "time_shift_type": "with dynamic shifting, of flow matching",
}
# Options of which diffusers takes one value only, or that it never reads.
IDLE = {
    "DEISMultistepScheduler": {"algorithm_type", "solver_type"},
    "LCMScheduler": {"timestep_spacing", "steps_offset"},
    "TCDScheduler": {"timestep_spacing", "steps_offset", "timestep_scaling"},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Of combinations that diverge, in diffusers and here, which the verdict counts.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("class_name", sorted(CLASSES))
def test_every_combination_equals_diffusers(class_name: str) -> None:
    summary = examine(class_name, wide_every=8)
    assert not summary.wrong, "\n".join([f"{len(summary.wrong)} of {summary.tried}:", *summary.wrong[:5]])
    assert summary.tried >= COMBINATIONS
    if "count" not in SPACES[class_name]:
        assert all(summary.steps[count] >= COMBINATIONS // len(COUNTS) for count in COUNTS)
    assert summary.float32 <= FLOAT32
    assert summary.wide > 0
    assert summary.float64 <= FLOAT64
    # Most agree outright. Least often those of EDM and of DEIS along flow sigmas, which enlarge rounding.
    assert summary.counts["equal"] >= 0.75 * summary.tried


def test_the_grid_has_every_option_of_every_class() -> None:
    assert set(SPACES) == set(CLASSES)
    for class_name, space in SPACES.items():
        tried = {key for key in space if key[0] != "*"}
        for key, values in space.items():
            if key.startswith("*"):
                tried |= {option for value in values for option in value}
        options = set(inspect.signature(scheduler_class(class_name).__init__).parameters) - {"self"}
        left_out = set(LEFT_OUT) | IDLE.get(class_name, set())
        assert options - tried <= left_out, class_name
        assert {key for key in tried if "." not in key} - options <= {"given", "strength", "count"}, (
            class_name
        )


def test_the_grid_is_always_the_same() -> None:
    for class_name in ("DDIMScheduler", "UniPCMultistepScheduler"):
        first, again = (
            [case.label() for case, _ in zip(cases(class_name), range(40), strict=False)] for _ in "ab"
        )
        assert first == again
        assert len(set(first)) == 40


def test_the_page_is_of_this_grid() -> None:
    """docs/sampler-parity.md, made by tools/parity_table.py, has every class, at least as many combinations as here."""
    page = (ROOT / "docs" / "sampler-parity.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, flags=re.MULTILINE))
    assert set(rows) == set(CLASSES)
    assert all(int(count) >= COMBINATIONS for count in rows.values())
    for key in KNOWN:
        assert f"**{key}**" in page
