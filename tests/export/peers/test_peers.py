"""Two of the peers' runners, diffusers' and our own, for real: the same work gives the same picture."""

import numpy as np
import pytest

from latentrt.models.bundle import open_model
from latentrt.noise import TorchGenerator
from latentrt_bench.measuring.process import Job, Process
from latentrt_bench.peers.catalogue import PEERS
from latentrt_bench.peers.materials import make_checkpoint
from latentrt_bench.peers.pictures import difference, read_picture
from latentrt_bench.peers.race import RUNNERS

WORK = {"prompt": "a small yellow star above a large purple square", "steps": 4, "guidance": 2.0, "seed": 7}


@pytest.mark.parametrize(
    ("name", "largest", "mean"),
    [
        ("diffusers-fp32", 1, 1e-3),  # a level may round the other way
        ("diffusers-bf16", 16, 1.0),  # 8 bits of mantissa
    ],
)
def test_latentrt_and_diffusers_paint_the_same(name, largest, mean, tmp_path):
    checkpoint = make_checkpoint(open_model("demo").root, tmp_path)
    np.save(tmp_path / "latents.npy", TorchGenerator(WORK["seed"]).randn((1, 4, 8, 12)))
    pictures = {}
    for peer in ("latentrt", name):
        path = tmp_path / f"{peer}.ppm"
        work = {
            **WORK,
            "width": 96,
            "height": 64,
            "latents": str(tmp_path / "latents.npy"),
            "picture": str(path),
        }
        arguments = {"model": str(checkpoint), "work": work, **PEERS[peer].options}
        process = Process(
            Job(str(RUNNERS / PEERS[peer].runner), arguments, environment={"HF_HUB_OFFLINE": "1"})
        )
        try:
            ends = process.call("paint").result
            process.call("save")
        finally:
            process.close()
        assert len(ends) == WORK["steps"] and ends == sorted(ends)
        pictures[peer] = read_picture(path)
    assert pictures["latentrt"].shape == (64, 96, 3)
    found = difference(pictures[name], pictures["latentrt"])
    assert found["max"] <= largest and found["mean"] <= mean
    assert pictures["latentrt"].std() > 10  # not one grey
