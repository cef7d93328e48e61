"""Two of the peers' runners, diffusers' and our own, for real: the same work gives the same picture."""

import numpy as np
import pytest
from checkpoints import save_published

from latentrt.models.bundle import open_model
from latentrt.models.single_file_writer import write_single_file
from latentrt.noise import TorchGenerator
from latentrt_bench.measuring.process import Job, Process
from latentrt_bench.peers.catalogue import PEERS
from latentrt_bench.peers.materials import make_checkpoint, make_descriptions
from latentrt_bench.peers.pictures import difference, read_picture
from latentrt_bench.peers.race import RUNNERS

WORK = {"prompt": "a small yellow star above a large purple square", "steps": 4, "guidance": 2.0, "seed": 7}


def painted(peer, model, tmp_path, **work):
    """The picture of a peer, in a process of its own."""
    np.save(tmp_path / "latents.npy", TorchGenerator(WORK["seed"]).randn((1, 4, *work.pop("latents"))))
    path = tmp_path / f"{peer}.ppm"
    all_of_it = {**WORK, **work, "latents": str(tmp_path / "latents.npy"), "picture": str(path)}
    arguments = {"model": str(model), "work": all_of_it, **PEERS[peer].options}
    process = Process(Job(str(RUNNERS / PEERS[peer].runner), arguments, environment={"HF_HUB_OFFLINE": "1"}))
    try:
        ends = process.call("paint").result
        process.call("save")
    finally:
        process.close()
    assert len(ends) == WORK["steps"] and ends == sorted(ends)
    return read_picture(path)


@pytest.mark.parametrize(
    ("name", "largest", "mean"),
    [
        ("diffusers-fp32", 1, 1e-3),  # a level may round the other way
        ("diffusers-bf16", 16, 1.0),  # 8 bits of mantissa
    ],
)
def test_latentrt_and_diffusers_paint_the_same(name, largest, mean, tmp_path):
    checkpoint = make_checkpoint(open_model("demo").root, tmp_path)
    pictures = {
        peer: painted(peer, checkpoint, tmp_path, width=96, height=64, latents=(8, 12), xl=False)
        for peer in ("latentrt", name)
    }
    assert pictures["latentrt"].shape == (64, 96, 3)
    found = difference(pictures[name], pictures["latentrt"])
    assert found["max"] <= largest and found["mean"] <= mean
    assert pictures["latentrt"].std() > 10  # not one grey


@pytest.mark.parametrize("one_file", [False, True], ids=["folder", "file"])
def test_latentrt_and_diffusers_paint_the_same_with_sdxl(one_file, tmp_path):
    """Of a file diffusers is told the configs, and both the scheduler that all have."""
    save_published(tmp_path / "model")
    model, described = make_checkpoint(tmp_path / "model", tmp_path), {}
    if one_file:
        model = write_single_file(open_model(tmp_path / "model"), tmp_path / "model.safetensors")
        described = {"descriptions": str(make_descriptions(model, tmp_path))}
    pictures = [
        painted(peer, model, tmp_path, width=24, height=16, latents=(8, 12), xl=True, **described)
        for peer in ("latentrt", "diffusers-fp32")
    ]
    found = difference(*pictures)
    assert found["max"] <= 1 and found["mean"] <= 1e-2
    assert pictures[0].std() > 10
