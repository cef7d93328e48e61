"""Our bundles in optimum-onnx's pipelines, in an environment of its own: the pictures that the runtime paints."""

import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import save_published

from latentrt.models.bundle import open_model
from latentrt.models.single_file_writer import write_single_file
from latentrt.noise import TorchGenerator
from latentrt_bench.measuring.process import Job, Process
from latentrt_bench.peers.catalogue import ENVIRONMENTS, PEERS
from latentrt_bench.peers.environment import make_environment
from latentrt_bench.peers.pictures import difference, read_picture
from latentrt_bench.peers.race import RUNNERS
from latentrt_export.bundle.export import export_model

WORK = {"prompt": "A cat, red", "steps": 4, "guidance": 3.0, "seed": 7, "width": 24, "height": 16, "xl": True}


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """Downloads 1.3 GB of packages."""
    work = tmp_path_factory.mktemp("optimum")
    return str(make_environment("optimum-onnx", ENVIRONMENTS["optimum-onnx"], work).python)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """Of a single file, whose tokenizers are written: today's transformers saves none that optimum's own reads."""
    root = tmp_path_factory.mktemp("sdxl")
    save_published(root / "model")
    export_model(write_single_file(open_model(root / "model"), root / "sdxl.safetensors"), root / "bundle")
    return root / "bundle"


def painted(peer: str, model: Path, tmp_path: Path, python: str) -> np.ndarray:
    np.save(tmp_path / "latents.npy", TorchGenerator(WORK["seed"]).randn((1, 4, 8, 12)))
    path = tmp_path / f"{peer}.ppm"
    work = {**WORK, "latents": str(tmp_path / "latents.npy"), "picture": str(path)}
    arguments = {"model": str(model), "work": work, **PEERS[peer].options}
    alone = {} if python == sys.executable else {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
    job = Job(str(RUNNERS / PEERS[peer].runner), arguments, python, {"HF_HUB_OFFLINE": "1", **alone})
    process = Process(job)
    try:
        assert len(process.call("paint").result) == WORK["steps"]
        process.call("save")
    finally:
        process.close()
    return read_picture(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="tried on Linux alone")
@pytest.mark.parametrize(("peer", "largest"), [("optimum-bundle-fp32", 1), ("optimum-bundle-fp16", 3)])
def test_optimum_paints_sdxl_from_our_bundle(
    peer: str, largest: int, bundle: Path, tmp_path: Path, python: str
) -> None:
    ours = painted("latentrt", bundle, tmp_path, sys.executable)
    theirs = painted(peer, bundle, tmp_path, python)
    assert ours.std() > 5
    assert difference(theirs, ours)["max"] <= largest
