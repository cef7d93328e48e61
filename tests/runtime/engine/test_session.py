"""Graphs and sessions on a linear layer whose answer numpy knows."""

import os
import re
import signal
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from onnx_build import TYPES, linear, value

from latentrt.engine import providers
from latentrt.engine.processor import processor_here
from latentrt.engine.providers import Provider, ProviderPassedOver, ProviderStatus, choose, survey
from latentrt.engine.session import Session
from latentrt.errors import GraphError, InputError, NumericsError, ProviderError, WeightsError
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Parameter
from latentrt.networks.proto import ModelProto

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((2, 3)).astype(np.float32)
BIAS = RNG.standard_normal(2).astype(np.float32)
X = RNG.standard_normal((4, 3)).astype(np.float32)
CPU = choose("cpu")


def weights(folder, **changed):
    tensors = {"fc.weight": WEIGHT, "fc.bias": BIAS, **changed}
    write_safetensors(folder / "w.safetensors", {k: v for k, v in tensors.items() if v is not None})
    return Weights((folder / "w.safetensors",))


def session(folder, dtype="fp32", model=None, dimensions=None, **changed):
    data = (linear(dtype) if model is None else model).SerializeToString()
    return Session("unet", Graph.parse(data, "linear"), weights(folder, **changed), CPU, dtype, dimensions)


class TestGraph:
    def test_reads_inputs_outputs_operators(self):
        parsed = Graph.parse(linear().SerializeToString(), "linear")
        assert parsed.inputs["x"].shape == ("batch", 3)
        assert parsed.inputs["x"].dtype == np.float32
        assert parsed.outputs["y"].shape == ("batch", 2)
        assert parsed.operators == {("", "Cast"): 2, ("", "Transpose"): 1, ("", "MatMul"): 1, ("", "Add"): 1}

    def test_parameters_say_whether_any_type_serves(self):
        weight, bias = Graph.parse(linear().SerializeToString(), "linear").parameters
        assert weight == Parameter("fc.weight", (2, 3), np.dtype(np.float16), is_cast=True)
        assert (bias.name, bias.is_cast) == ("fc.bias", True)
        model = linear()
        model.graph.node.add(op_type="Identity", input=["fc.weight"], output=["other"])
        weight, bias = Graph.parse(model.SerializeToString(), "linear").parameters
        assert (weight.is_cast, bias.is_cast) == (False, True)

    @pytest.mark.parametrize("data", [b"", b"\x00", b"not onnx at all", bytes(range(256))])
    def test_what_is_no_model(self, data):
        with pytest.raises(GraphError, match=r"x\.onnx: not an ONNX model"):
            Graph.parse(data, "x.onnx")


class TestSession:
    @pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-6), ("fp16", 5e-3)])
    def test_computes(self, tmp_path, dtype, tolerance):
        y = session(tmp_path, dtype).run({"x": X})["y"]
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, X @ WEIGHT.T + BIAS, rtol=tolerance, atol=tolerance)

    @pytest.mark.parametrize("stored", [np.float32, np.float16, np.float64])
    def test_any_stored_float_serves(self, tmp_path, stored):
        opened = session(tmp_path, **{"fc.weight": WEIGHT.astype(stored), "fc.bias": BIAS.astype(stored)})
        expected = X @ WEIGHT.astype(stored).astype(np.float32).T + BIAS.astype(stored).astype(np.float32)
        np.testing.assert_allclose(opened.run({"x": X})["y"], expected, rtol=1e-6, atol=1e-6)

    def test_a_matrix_stored_as_a_convolution_serves(self, tmp_path):
        """Early conversions kept the VAE's attention so."""
        opened = session(tmp_path, **{"fc.weight": WEIGHT[:, :, None, None]})
        np.testing.assert_allclose(opened.run({"x": X})["y"], X @ WEIGHT.T + BIAS, rtol=1e-6, atol=1e-6)

    def test_bfloat16_serves_both_computes(self, tmp_path):
        half = (WEIGHT.view(np.uint32) >> 16).astype(np.uint16)
        exact = (half.astype(np.uint32) << 16).view(np.float32)
        write_safetensors(tmp_path / "u.safetensors", {"fc.weight": half.view(np.float16), "fc.bias": BIAS})
        stored = (tmp_path / "u.safetensors").read_bytes().replace(b'"F16"', b'"BF16"', 1)
        header = int.from_bytes(stored[:8], "little")
        (tmp_path / "b.safetensors").write_bytes((header + 1).to_bytes(8, "little") + stored[8:])
        for dtype, tolerance in (("fp32", 1e-6), ("fp16", 5e-3)):
            graph = Graph.parse(linear(dtype).SerializeToString(), "linear")
            opened = Session("unet", graph, Weights((tmp_path / "b.safetensors",)), CPU, dtype)
            np.testing.assert_allclose(
                opened.run({"x": X})["y"], X @ exact.T + BIAS, rtol=tolerance, atol=tolerance
            )

    def test_weights_that_lie_unaligned(self, tmp_path):
        write_safetensors(tmp_path / "a.safetensors", {"fc.weight": WEIGHT, "fc.bias": BIAS})
        stored = (tmp_path / "a.safetensors").read_bytes()
        header = int.from_bytes(stored[:8], "little")
        padded = (header + 1).to_bytes(8, "little") + stored[8 : 8 + header] + b" " + stored[8 + header :]
        (tmp_path / "u.safetensors").write_bytes(padded)
        opened_weights = Weights((tmp_path / "u.safetensors",))
        assert not opened_weights["fc.weight"].lies_as_read
        opened = Session(
            "unet", Graph.parse(linear().SerializeToString(), "linear"), opened_weights, CPU, "fp32"
        )
        np.testing.assert_allclose(opened.run({"x": X})["y"], X @ WEIGHT.T + BIAS, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("stored", [np.float32, np.float16])
    def test_a_provider_that_maps_nothing(self, tmp_path, stored):
        handed = replace(CPU, maps_weights=False)
        held = weights(tmp_path, **{"fc.weight": WEIGHT.astype(stored)})
        opened = Session("unet", Graph.parse(linear().SerializeToString(), "linear"), held, handed, "fp32")
        expected = X @ WEIGHT.astype(stored).astype(np.float32).T + BIAS
        np.testing.assert_allclose(opened.run({"x": X})["y"], expected, rtol=1e-6, atol=1e-6)

    def test_shards_in_several_folders(self, tmp_path):
        """As links into a cache may lead."""
        for name, array in {"fc.weight": WEIGHT, "fc.bias": BIAS}.items():
            (tmp_path / name).mkdir()
            write_safetensors(tmp_path / name / "blob", {name: array})
            (tmp_path / f"{name}.safetensors").symlink_to(tmp_path / name / "blob")
        shards = Weights((tmp_path / "fc.weight.safetensors", tmp_path / "fc.bias.safetensors"))
        opened = Session("unet", Graph.parse(linear().SerializeToString(), "linear"), shards, CPU, "fp32")
        np.testing.assert_allclose(opened.run({"x": X})["y"], X @ WEIGHT.T + BIAS, rtol=1e-6, atol=1e-6)

    def test_low_memory_computes_the_same(self, tmp_path):
        graph = Graph.parse(linear().SerializeToString(), "linear")
        opened = Session("unet", graph, weights(tmp_path), CPU, "fp32", low_memory=True)
        np.testing.assert_allclose(opened.run({"x": X})["y"], X @ WEIGHT.T + BIAS, rtol=1e-6, atol=1e-6)

    def test_closed_frees_the_session(self, tmp_path):
        opened = session(tmp_path)
        opened.close()
        assert opened._session is None

    @pytest.mark.parametrize(
        ("feeds", "message"),
        [
            ({}, "unet: input x is missing"),
            ({"x": X, "y": X}, "unet: no such input: y"),
            ({"x": X[0]}, r"unet\.x: expected \(batch, 3\) float32, got \(3,\) float32"),
            ({"x": X[:, :2]}, r"unet\.x: expected \(batch, 3\) float32, got \(4, 2\) float32"),
        ],
    )
    def test_wrong_inputs(self, tmp_path, feeds, message):
        with pytest.raises(InputError, match=message):
            session(tmp_path).run(feeds)

    def test_pinned_dimension_is_held(self, tmp_path):
        opened = session(tmp_path, dimensions={"batch": 2})
        assert opened.run({"x": X[:2]})["y"].shape == (2, 2)
        with pytest.raises(InputError, match=r"expected \(2, 3\) float32, got \(4, 3\)"):
            opened.run({"x": X})

    def test_missing_and_misshapen_weights_are_named(self, tmp_path):
        with pytest.raises(WeightsError, match=r"unet: tensor fc\.bias is missing in w\.safetensors"):
            session(tmp_path, **{"fc.bias": None})
        for wrong in (
            WEIGHT.T.copy(),
            WEIGHT[None],
            WEIGHT[:, None],
            WEIGHT[0],
            np.stack([WEIGHT] * 2, axis=-1),
        ):
            message = f"fc.weight in w.safetensors has shape {wrong.shape}; "
            with pytest.raises(WeightsError, match=re.escape(message) + r".*needs \(2, 3\)"):
                session(tmp_path, **{"fc.weight": wrong})

    def test_weights_beyond_fp16(self, tmp_path):
        with pytest.raises(WeightsError, match=r"fc\.bias exceeds the range of fp16; compute in fp32"):
            session(tmp_path, "fp16", **{"fc.bias": np.array([1e6, 0], np.float32)})

    def test_nan_is_not_passed_on(self, tmp_path):
        with pytest.raises(NumericsError, match=r"unet\.y: NaN or infinity came out; compute in fp32"):
            session(tmp_path, "fp16", **{"fc.weight": np.ones((2, 3), np.float32)}).run(
                {"x": np.full((1, 3), 6e4, np.float32)}
            )

    def test_refused_graph_names_component_and_provider(self, tmp_path):
        model = linear()
        model.graph.node.add(op_type="NoSuchOperator", input=["y"], output=["z"])
        with pytest.raises(ProviderError, match="unet: cpu refused linear: .*NoSuchOperator"):
            session(tmp_path, model=model)

    def test_runs_in_other_threads(self, tmp_path):
        opened, results = session(tmp_path), []
        thread = threading.Thread(target=lambda: results.append(opened.run({"x": X})["y"]))
        thread.start()
        thread.join()
        np.testing.assert_allclose(results[0], X @ WEIGHT.T + BIAS, rtol=1e-6, atol=1e-6)

    def test_interrupt_ends_a_long_run(self, tmp_path):
        model = ModelProto(ir_version=10)
        model.opset_import.add(version=20)
        value(model.graph.input.add(), "x", np.float32, ("n", "n"))
        value(model.graph.output.add(), "x60", np.float32, ("n", "n"))
        for i in range(60):
            source = "x" if i == 0 else f"x{i}"
            model.graph.node.add(op_type="MatMul", input=[source, "x"], output=[f"x{i + 1}"])
        assert TYPES[np.dtype(np.float32)] == 1
        opened = session(tmp_path, model=model)
        eye = np.eye(700, dtype=np.float32)
        started = time.perf_counter()
        opened.run({"x": eye})
        whole = time.perf_counter() - started
        threading.Timer(whole / 10, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            opened.run({"x": eye})
        assert time.perf_counter() - started < whole / 2  # ended in the middle, not after the last node
        np.testing.assert_array_equal(opened.run({"x": eye})["x60"], eye)  # and the session still works


class TestProviders:
    def test_cpu_is_here_and_others_say_why_not(self):
        states = {status.name: status for status in survey()}
        assert states["cpu"].available
        assert list(states) == ["cuda", "openvino", "cpu"]
        for status in states.values():
            assert status.reason
            if not status.available:
                with pytest.raises(ProviderError, match=f"device {status.name}: "):
                    choose(status.name)

    def test_auto_takes_the_first_available_that_gains(self):
        gaining = {"cuda", "cpu"} | ({"openvino"} if processor_here().has_bf16 else set())
        with warnings.catch_warnings(action="ignore", category=ProviderPassedOver):
            assert choose("auto").name == next(
                status.name for status in survey() if status.available and status.name in gaining
            )

    @pytest.mark.parametrize("gains", [True, False])
    def test_auto_takes_openvino_where_it_computes_in_bf16(self, gains, monkeypatch):
        openvino = Provider("openvino", "bf16" if gains else "fp16", has_bf16=gains)
        monkeypatch.setattr(providers, "_PREFERENCE", (openvino, CPU))
        monkeypatch.setattr(providers, "_probe", lambda name: ProviderStatus(name, True, "runs here"))
        if gains:
            assert choose("auto").dtype == "bf16"
        else:
            with pytest.warns(ProviderPassedOver, match="openvino is passed over: without units for bf16"):
                assert choose("auto").name == "cpu"
        assert choose("openvino").name == "openvino"

    def test_unknown_device(self):
        with pytest.raises(InputError, match="device: expected one of auto, cpu, cuda, openvino; got 'tpu'"):
            choose("tpu")
