"""The machine's limits: what is measured, and what follows from it. Nothing here depends on how fast the machine is."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.engine.providers import choose
from latentrt.networks.cost.macs import cost
from latentrt.networks.graph import Graph
from latentrt_bench.limits import ceilings, kernels
from latentrt_bench.limits.caches import cache_bytes, processor_caches
from latentrt_bench.limits.ceilings import largest, sample
from latentrt_bench.limits.kernels import Kernel
from latentrt_bench.limits.roofline import least_seconds


class Clock:
    """Time that passes only when a kernel works."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def kernel(self, name, work, *durations):
        """A kernel whose calls take these seconds in turn, the last one for ever."""
        left = itertools.chain(durations, itertools.repeat(durations[-1]))

        def call():
            self.now += next(left)
            self.order.append(name)

        return Kernel(name, work, call)


def test_rates_are_work_over_time_in_interleaved_rounds():
    clock = Clock()
    fast, slow = clock.kernel("fast", 100, 1.0), clock.kernel("slow", 100, 4.0, 2.0)
    # 12 s over 2 rounds of 2 kernels: 3 s each
    assert sample([fast, slow], 2, 12.0, clock) == {"fast": [100.0] * 6, "slow": [25.0, 50.0, 50.0]}
    assert clock.order == ["fast"] * 3 + ["slow"] + ["fast"] * 3 + ["slow"] * 2


def test_a_kernel_that_is_too_slow_is_called_once_and_a_quick_one_not_without_end():
    clock = Clock()
    rates = sample([clock.kernel("slow", 100, 1000.0), clock.kernel("quick", 100, 1e-6)], 2, 1.0, clock)
    assert [len(rates[name]) for name in ("slow", "quick")] == [2, 2 * ceilings.MOST_CALLS]


def test_only_the_largest_kernels_that_are_quick_enough_are_kept():
    clock = Clock()
    made = []

    def growing():
        for n in (1, 2, 4, 8, 16, 32):
            made.append(n)
            yield clock.kernel(str(n), n, 100.0, 0.1 * n)  # the first call, which takes long, tells nothing

    assert [kernel.name for kernel in largest(growing(), 0.9, clock)] == ["2", "4", "8"]
    assert made == [1, 2, 4, 8, 16]
    assert [kernel.name for kernel in largest(growing(), 0.01, clock)] == ["1"]


def test_limits_are_the_best_call_of_the_best_kernel(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(
        ceilings, "matrices", lambda *_: iter([clock.kernel("matmul", 1000, 2.0, 2.0, 0.5, 2.0)])
    )
    monkeypatch.setattr(ceilings, "convolutions", lambda *_: iter([clock.kernel("conv", 900, 1.0)]))
    monkeypatch.setattr(
        ceilings,
        "memory_kernels",
        lambda *_: [clock.kernel("copy", 80, 1.0), clock.kernel("read", 50, 1.0, 0.5)],
    )
    monkeypatch.setattr(ceilings, "cache_bytes", lambda _: 7)
    found = ceilings.measure_ceilings(choose("cpu"), "fp32", rounds=1, seconds=4.0, clock=clock)
    assert (found.macs_per_s, found.bytes_per_s, found.cache_bytes) == (2000.0, 100.0, 7)
    assert found.detail == {
        "matmul": [2000.0, 500.0],
        "conv": [900.0],
        "copy": [80.0],
        "read": [100.0, 100.0],
    }


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_this_machine_is_measured_through_onnxruntime(monkeypatch, dtype):
    monkeypatch.setattr(kernels, "MATRICES", (64, 96))
    monkeypatch.setattr(kernels, "PICTURES", ((8, 16), (16, 16)))
    monkeypatch.setattr(ceilings, "LEAST_ARRAY", 1 << 20)
    monkeypatch.setattr(ceilings, "cache_bytes", lambda _: None)
    found = ceilings.measure_ceilings(choose("cpu"), dtype, rounds=2, seconds=0.1)
    assert set(found.detail) >= {"copy scaled", "read row x matrix", "read maxima"}
    kinds = {"matmul", "copy", "read"} | ({"conv"} if dtype != "int8" else set())
    assert {name.split()[0] for name in found.detail} == kinds
    for rates in found.detail.values():
        assert len(rates) >= 2
        assert all(np.isfinite(rate) and rate > 0 for rate in rates)
    compute = [
        r for name, rates in found.detail.items() if name.split()[0] in ("matmul", "conv") for r in rates
    ]
    assert found.macs_per_s == max(compute)
    assert found.cache_bytes == 1 << 20  # not known: what may be cached is as much as was copied
    assert json.loads(json.dumps(dataclasses.asdict(found))) == dataclasses.asdict(found)


def made_kernels(monkeypatch, dtype):
    """Every kernel in a small size, with its graph."""
    graphs = {}
    make = kernels._graph

    def keep(name, *rest):
        data = make(name, *rest)
        graphs[name] = Graph.parse(data, name)
        return data

    monkeypatch.setattr(kernels, "MATRICES", (64, 96))
    monkeypatch.setattr(kernels, "PICTURES", ((8, 16),))
    monkeypatch.setattr(kernels, "_graph", keep)
    cpu = choose("cpu")
    made = [
        *kernels.matrices(cpu, dtype),
        *kernels.convolutions(cpu, dtype),
        *kernels.memory_kernels(cpu, 1 << 20),
    ]
    return [(kernel, graphs[kernel.name]) for kernel in made]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_the_work_of_a_kernel_is_what_its_graph_costs(monkeypatch, dtype):
    for kernel, graph in made_kernels(monkeypatch, dtype):
        counted = cost(graph, {})
        if kernel.name.startswith(("matmul", "conv")):
            assert counted.macs == kernel.work
        else:  # but for a row, a scalar or the maxima beside the array
            assert counted.bytes_moved == pytest.approx(kernel.work, rel=0.02)


def test_kernels_compute_what_they_say(monkeypatch):
    """Nothing is folded away: the output follows from the input, and is written in each call."""
    for kernel, graph in made_kernels(monkeypatch, "fp32"):
        values, output = kernel.held
        inputs = {name: value.numpy() for name, value in values.items()}
        kernel.call()
        x = inputs["x"]
        weights = {
            tensor.name: np.frombuffer(tensor.raw_data, np.float32).reshape(tensor.dims)
            for tensor in graph.proto.graph.initializer
            if tensor.data_type == 1
        }
        kind = kernel.name.split()[0]
        if kind == "matmul":
            expected = np.linalg.multi_dot([x, *[weights["w"]] * kernels.DEPTH])
        elif kind == "conv":
            expected = x
            for _ in range(kernels.DEPTH):
                expected = convolve(expected, weights["w"])
            assert np.std(expected) > 0.1  # the values keep their size
        elif kind == "copy":
            expected = x * 2
        elif kernel.name == "read maxima":
            expected = x.max(axis=1, keepdims=True)
        else:
            expected = inputs["row"] @ x
        np.testing.assert_allclose(output.numpy(), expected, rtol=1e-3, atol=1e-4)


def convolve(x, weight):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True)


def test_a_call_reads_its_input_anew(monkeypatch):
    for kernel, _ in made_kernels(monkeypatch, "fp32"):
        values, output = kernel.held
        kernel.call()
        before = output.numpy().copy()
        values["x"].update_inplace(-values["x"].numpy())
        kernel.call()
        assert not np.array_equal(output.numpy(), before)


LIMITS = {"macs_per_s": 100.0, "bytes_per_s": 10.0, "cache_bytes": 50}


def test_the_least_time_is_of_what_binds():
    assert least_seconds(1000, 60, LIMITS) == 10.0  # multiplication
    assert least_seconds(1000, 250, LIMITS) == 20.0  # 200 bytes that no cache can have kept
    assert least_seconds(1000, 250, LIMITS, runs=2) == 15.0  # twice they may have kept 50


@given(macs=st.integers(1, 10**15), least=st.integers(0, 10**12))
def test_less_work_never_takes_longer(macs, least):
    one = least_seconds(macs, least, LIMITS)
    assert one >= macs / LIMITS["macs_per_s"]
    assert least_seconds(2 * macs, least, LIMITS) >= one
    assert least_seconds(macs, 2 * least, LIMITS) >= one


def test_caches_are_counted_once_each(tmp_path):
    def cache(cpu, index, level, kind, shared, size):
        folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("shared_cpu_list", shared), ("size", size)):
            (folder / name).write_text(f"{text}\n")

    for cpu in (0, 1):
        cache(cpu, 0, 1, "Data", cpu, "32K")
        cache(cpu, 1, 1, "Instruction", cpu, "64K")
        cache(cpu, 2, 2, "Unified", cpu, "512K")
        cache(cpu, 3, 3, "Unified", "0-1", "32M")
    (tmp_path / "cpu1" / "cache" / "index9").mkdir()  # hidden by a container
    assert processor_caches(tmp_path) == 2 * (32 << 10) + 2 * (512 << 10) + (32 << 20)
    assert processor_caches(tmp_path / "nowhere") is None


def test_caches_of_a_gpu_that_is_not_there_are_not_known(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert cache_bytes("cuda") is None
