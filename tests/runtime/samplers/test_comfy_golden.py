"""Solvers of k-diffusion's kind against what ComfyUI's functions gave: tools/make_comfy_golden.py made the file."""

from pathlib import Path

import numpy as np
import pytest

from latentrt.samplers import REGISTRY
from parity.k_toy import SIGMAS, SOLVERS, Toy, Wide, begun, schedule

with np.load(Path(__file__).parents[1] / "golden" / "comfy.npz") as _file:
    RESULTS = dict(_file)
# What ComfyUI does and other programs do not.
OWN = {"euler": {"churns_first": True}, "ipndm": {"denoises_last": True}, "lms": {"denoises_last": True}}


@pytest.mark.parametrize("case", RESULTS)
def test_it_is_what_comfyui_computes(case: str) -> None:
    key, label, number = case.split("|")
    options = {**SOLVERS[key][1][int(number)], **OWN.get(key, {})}
    if key == "dpmpp_2m_sde":
        options["algorithm_type"] = "sde-dpmsolver++"
        options["lower_order_final"] = False
    spec = REGISTRY[key]
    made = schedule(SIGMAS[label], spec.class_name)
    steps = list(spec.solver(Toy(), begun(SIGMAS[label]), made, Wide(1), **options))
    assert len(steps) == len(made)
    # It counts the points of its sums in float32 (er_sde).
    tolerance = 1e-7 if key == "er_sde" else 1e-11
    np.testing.assert_allclose(steps[-1].x, RESULTS[case], rtol=tolerance, atol=tolerance)


def test_every_run_is_there() -> None:
    runs = {key: len(choices) for key, (_, choices) in SOLVERS.items()}
    assert len(RESULTS) == sum(runs.values()) * len(SIGMAS) - 2
