"""Models that optimum-onnx exports, in an environment of its own, against diffusers' pipelines there; made for real."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import latentrt
from latentrt_bench.peers.catalogue import ENVIRONMENTS
from latentrt_bench.peers.environment import clean_environment, make_environment

LIMIT_S = 1800


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """Downloads 1.3 GB of packages."""
    work = tmp_path_factory.mktemp("optimum")
    made = make_environment("optimum-onnx", ENVIRONMENTS["optimum-onnx"], work / "environments")
    script = Path(__file__).parent / "optimum_models.py"
    done = subprocess.run(
        [made.python, script, work],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stderr[-2000:], pytrace=False)
    return work


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="tried on Linux alone")
@pytest.mark.parametrize("name", ["sd", "xl"])
def test_an_export_paints_what_diffusers_paints(exported: Path, name: str) -> None:
    expected = np.load(exported / f"{name}.npz")
    with latentrt.load(exported / name, device="cpu") as pipeline:
        model = pipeline.model
        assert model.layout == "folders, as optimum's"
        assert not model.notes
        assert model.is_xl == (name == "xl")
        generation = pipeline.start_txt2img(
            "ab c", negative_prompt="b a", num_inference_steps=6, guidance_scale=5.0, height=24, width=16, seed=0,
            num_images=2, batch_size=2,
        )  # fmt: skip
        latents = generation.latents()
        assert np.abs(expected["latents"]).max() > 1
        assert np.abs(latents - expected["latents"]).max() < 1e-3
        pixels = pipeline.autoencoder.decode(expected["latents"])
        assert np.abs(pixels - expected["pixels"]).max() < 1e-4
        mean, _ = pipeline.autoencoder.encode(np.clip(expected["pixels"], -1, 1))
        assert np.abs(mean - expected["mean"]).max() < 1e-4
