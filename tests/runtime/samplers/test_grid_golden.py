"""Every scheduler class against what diffusers 0.42 gave for a part of the parity grid; by tools/make_golden.py."""

from pathlib import Path

import numpy as np
import pytest

from latentrt.schedule import CLASSES
from parity.grid import cases
from parity.run import ours

with np.load(Path(__file__).parents[1] / "golden" / "grid.npz") as _file:
    LABELS = str(_file["labels"]).split("\n")
    _ends = np.cumsum(_file["lengths"])[:-1]
    TIMESTEPS = dict(zip(LABELS, np.split(_file["timesteps"], _ends), strict=True))
    SAMPLES = dict(zip(LABELS, np.split(_file["samples"], _ends), strict=True))


@pytest.mark.parametrize("class_name", sorted(CLASSES))
def test_every_step_equals_diffusers(class_name: str) -> None:
    wanted = [label for label in LABELS if label.startswith(f"{class_name} ")]
    assert len(wanted) == 18
    found = (case for case in cases(class_name) if case.label() in wanted)
    for label, case in zip(wanted, found, strict=False):
        assert case.label() == label
        run, timesteps = ours(case), TIMESTEPS[label]
        # Fractions of timesteps are found from sigmas, of which torch rounds the square root by the processor's kind.
        whole = np.array_equal(timesteps, np.round(timesteps))
        atol = 0.0 if whole else 0.05 if case.config.get("rescale_betas_zero_snr") else 2.5e-4
        np.testing.assert_allclose(run.timesteps, timesteps, rtol=0, atol=atol, err_msg=label)
        for x, stored in zip(run.samples, SAMPLES[label], strict=True):
            # Four values of the sample, then its largest.
            assert np.abs(x[0, 0, 0] - stored[:4]).max() <= 1e-5 * stored[4], label
