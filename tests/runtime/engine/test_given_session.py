"""A given graph is fed in its own names, types, ranks and batch, and compared with its provider's kernels before."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from given_models import HALF, toy_unet
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt.engine.given_session import GivenSession, TimestepRounded
from latentrt.engine.networks import place
from latentrt.engine.operators import missing_operators
from latentrt.engine.providers import open_session
from latentrt.errors import InputError, NumericsError
from latentrt.models.given.given_graph import read_given_graph
from latentrt.models.given.part import GivenPart
from latentrt.models.given.ports import bind
from latentrt.networks.proto import ModelProto

CPU = place("cpu").provider
CONTEXT = 8


def part_of(path: Path, name: str = "unet") -> GivenPart:
    graph = read_given_graph(path)
    return GivenPart(graph, bind(name, graph, xl=False))


def feeds(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "sample": rng.standard_normal((batch, 4, 8, 8)).astype(np.float32),
        "timestep": np.float32(500),
        "encoder_hidden_states": rng.standard_normal((batch, 5, CONTEXT)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> dict[str, GivenSession]:
    """As it is, and fixed at batches of 1 and 3."""
    folder = tmp_path_factory.mktemp("given")
    paths = {"free": toy_unet().save(folder / "free.onnx")}
    for batch in (1, 3):
        paths[str(batch)] = toy_unet().fixed(batch=batch).save(folder / f"{batch}.onnx")
    return {name: GivenSession("unet", part_of(path), CPU) for name, path in paths.items()}


@given(st.integers(1, 8), st.sampled_from(["1", "3"]))
@settings(max_examples=30)
def test_a_fixed_batch_runs_as_often_as_it_needs(sessions, batch: int, fixed: str) -> None:
    given_feeds = feeds(batch)
    expected = sessions["free"].run(given_feeds)["out_sample"]
    got = sessions[fixed].run(given_feeds)["out_sample"]
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), ("batch",), ("steps",), (2,)])
def test_any_type_and_rank_of_a_timestep(sessions, tmp_path: Path, dtype, shape) -> None:
    """The number that the network sees is one; ONNX Runtime's own checks hold the rest."""
    path = toy_unet().takes("timestep", dtype=dtype, shape=list(shape)).save(tmp_path / "unet.onnx")
    got = GivenSession("unet", part_of(path), CPU).run(feeds(2))["out_sample"]
    assert np.abs(got - sessions["free"].run(feeds(2))["out_sample"]).max() < 1e-4


def test_a_fraction_is_rounded_and_told_once(tmp_path: Path, sessions) -> None:
    path = toy_unet().takes("timestep", dtype=np.int64).save(tmp_path / "unet.onnx")
    session = GivenSession("unet", part_of(path), CPU)
    with pytest.warns(TimestepRounded, match=r"499\.5 is taken for 500"):
        got = session.run({**feeds(1), "timestep": np.float32(499.5)})["out_sample"]
    assert np.abs(got - sessions["free"].run(feeds(1))["out_sample"]).max() < 1e-4
    session.run({**feeds(1), "timestep": np.float32(400.25)})


def test_what_does_not_fit_is_named(sessions, tmp_path: Path) -> None:
    session = sessions["free"]
    given_feeds = feeds(1)
    with pytest.raises(InputError, match="unet: input timestep is missing"):
        session.run({name: value for name, value in given_feeds.items() if name != "timestep"})
    with pytest.raises(InputError, match="has no text_embeds; takes sample, timestep"):
        session.run({**given_feeds, "text_embeds": np.zeros((1, 3))})
    path = toy_unet().fixed(height=8, width=8).save(tmp_path / "fixed.onnx")
    fixed = GivenSession("unet", part_of(path), CPU)
    with pytest.raises(InputError, match=r"fixed at \(batch, 4, 8, 8\), got \(1, 4, 8, 16\)"):
        fixed.run({**given_feeds, "sample": np.zeros((1, 4, 8, 16))})


def test_nan_is_told_with_what_would_do(tmp_path: Path) -> None:
    path = toy_unet(HALF).save(tmp_path / "half.onnx")
    with pytest.raises(
        NumericsError, match="computes in fp16, which may be too narrow for it: export it in fp32"
    ):
        GivenSession("unet", part_of(path), CPU).run({**feeds(1), "sample": np.full((1, 4, 8, 8), np.nan)})


@pytest.mark.parametrize(
    ("domain", "op"),
    [("com.microsoft", "GroupNorm"), ("com.microsoft", "BiasSplitGelu"), ("com.microsoft", "NhwcConv"),
     ("com.microsoft", "QuickGelu"), ("com.microsoft", "BiasGelu"), ("", "Mish"), ("", "Relu"), ("org.nobody", "Op")],
)  # fmt: skip
def test_the_list_of_kernels_agrees_with_a_session(domain: str, op: str) -> None:
    """What is listed as missing, ONNX Runtime refuses; what is not, it takes."""
    inputs = {"GroupNorm": [(1, 4, 4, 8), (8,), (8,)], "BiasSplitGelu": [(1, 4, 16), (16,)],
              "NhwcConv": [(1, 4, 4, 8), (8, 3, 3, 8)], "BiasGelu": [(1, 8), (8,)]}  # fmt: skip
    model = ModelProto(ir_version=8)
    for name, version in (("", 18), ("com.microsoft", 1), ("org.nobody", 1)):
        model.opset_import.add(domain=name, version=version)
    node = model.graph.node.add(op_type=op, domain=domain, output=["y"])
    for index, shape in enumerate(inputs.get(op, [(1, 8)])):
        port = model.graph.input.add(name=f"x{index}")
        port.type.tensor_type.elem_type = 1
        for size in shape:
            port.type.tensor_type.shape.dim.add(dim_value=size)
        node.input.append(port.name)
    if op == "GroupNorm":
        for key, number in (("groups", 2), ("activation", 0)):
            node.attribute.add(name=key, i=number, type=2)
    model.graph.output.add(name="y").type.tensor_type.elem_type = 1
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_provider("CPUExecutionProvider", {})
    try:
        open_session(model.SerializeToString(), options)
        refused = False
    except Exception:
        refused = True
    assert bool(missing_operators({(domain, op): 1}, CPU)) == refused
