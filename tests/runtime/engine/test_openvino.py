"""The OpenVINO provider, of either build, where it is installed: that it paints what the CPU provider paints."""

import numpy as np
import pytest

import latentrt
from latentrt.engine.processor import processor_here
from latentrt.engine.providers import choose, survey

STATE = next(status for status in survey() if status.name == "openvino")
pytestmark = [
    pytest.mark.skipif(not STATE.installed, reason=STATE.reason),
    pytest.mark.skipif("offers no device" in STATE.reason, reason=STATE.reason),
]


def test_it_runs_where_it_is_installed():
    """The plugin, once registered, stands among what is built in, and is not to be taken for that."""
    assert STATE.available, STATE.reason
    assert choose("openvino").name == "openvino"


def painted(dtype, device="openvino", threads=None):
    with latentrt.load(device=device, dtype=dtype, threads=threads) as pipeline:
        return pipeline.txt2img("a red heart", width=64, height=64, num_inference_steps=3, seed=1)


def test_in_fp32_it_paints_as_the_cpu_provider():
    mine, other = painted("fp32"), painted("fp32", "cpu")
    assert np.abs(mine.latents - other.latents).max() < 1e-3


def test_in_fp16_it_paints_nearly_so():
    mine, other = painted("fp16"), painted("fp32", "cpu")
    error = np.linalg.norm(mine.latents - other.latents) / np.linalg.norm(other.latents)
    assert error < 0.05  # it may compute in bf16


def test_it_takes_a_number_of_threads():
    np.testing.assert_allclose(
        painted("fp32", threads=1).latents, painted("fp32", threads=2).latents, rtol=0, atol=1e-3
    )


@pytest.mark.skipif(not processor_here().has_bf16, reason="no units for bf16")
def test_in_bf16_it_paints_near_it_and_says_so():
    mine, other = painted("bf16"), painted("fp32", "cpu")
    error = np.linalg.norm(mine.latents - other.latents) / np.linalg.norm(other.latents)
    assert 1e-4 < error < 0.05
    assert ("Precision", "bf16") in mine.parameters[0].extra
    assert choose("openvino").dtype == "bf16"
