"""What memory the machine has left, and what the networks of a run will take of it.

Weights and activations are read off the graphs; nothing is loaded. docs/measurements.md compares with measurements.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latentrt.engine.networks import Networks
from latentrt.engine.runner import Runner, Shapes
from latentrt.engine.session import reorders, saves
from latentrt.models.component import Component
from latentrt.networks import Dtype, Value, Variant, compute_of
from latentrt.networks.cost.macs import cost
from latentrt.networks.variant import Norms

# As measured with ONNX Runtime 1.32's CPU provider, in shares of a network's weights: what comes and goes while they
# are widened; and what one whose weights stay in the file takes while it runs.
_LOADING, _STREAMED = 0.03, 0.2
# Likewise, in shares of activations: a graph that ONNX Runtime has optimised and saved takes 1.26 to 1.53 of them.
_SAVED = 1.4
_SAVED_INTEGERS = 3.0  # and one in integers, which has little of them, 3.1 and 3.4
_SESSION = 8_000_000  # bytes of a session without weights: its graph and its plan
_ARENA = 34_000_000  # bytes of the arena's account of a block


@dataclass(frozen=True)
class Call:
    """A network that is run.

    Attributes:
        runner: what runs it.
        shapes: of its inputs, where it takes the most memory.
        norms: see `Variant`.
        beside: bytes that the caller holds meanwhile, as pictures.
    """

    runner: Runner
    shapes: Shapes
    norms: Norms = "own"
    beside: int = 0

    @property
    def component(self) -> str:
        """Its name."""
        return self.runner.component.name

    @property
    def weights(self) -> int:
        """Bytes that it holds while it is loaded."""
        if self.runner.streams:
            return _SESSION
        counted = _counted(self)
        if self.runner.kept(self.norms) is None:
            return _SESSION + counted.weights
        # What is prepared is mapped; of what ONNX Runtime has not saved, products are packed.
        return _SESSION + (0 if self._is_saved else counted.weights - counted.kernels)

    @property
    def _is_saved(self) -> bool:
        """Whether it is loaded as ONNX Runtime has saved it."""
        saves = _counted(self).saves and not self.runner.low_memory
        return saves and self.runner.kept(self.norms) is not None

    def loading(self, low_memory: bool) -> int:
        """Bytes that it takes besides while it is loaded, at the most.

        Weights of convolutions are re-ordered; those in integers are handed over.
        """
        if self.runner.streams:
            return 0
        counted, kept = _counted(self), self.runner.kept(self.norms)
        coming = int(_LOADING * counted.weights) + (0 if kept else counted.integers)
        if kept is not None:
            return coming + (counted.weights if self._is_saved and not kept else 0)
        if low_memory or not self.runner.provider.widens_weights or not counted.reorders:
            return coming
        return coming + counted.kernels

    @property
    def running(self) -> int:
        """Bytes of the system's memory that one run takes besides."""
        if self.runner.provider.name == "cuda":  # on the device
            return 0
        counted = _counted(self)
        streamed = int(_STREAMED * counted.weights) if self.runner.streams else 0
        factor = 1.0
        if self._is_saved:
            factor = _SAVED_INTEGERS if counted.integers else _SAVED
        return streamed + int(factor * counted.activations)


@dataclass(frozen=True)
class Peak:
    """The most that is held at once.

    Attributes:
        total: bytes, beyond what the process has taken by now.
        weights: of these, those of the networks that are loaded then.
        component: the network that is loaded or run then.
    """

    total: int
    weights: int
    component: str


def peak(calls: Sequence[Call], low_memory: bool) -> Peak:
    """The peak over networks that are run one after the other.

    Networks stay loaded; with `low_memory`, one is loaded at a time. All compute in one arena, which keeps what the
    largest run took until a network is loaded or closed.
    """
    held = {call.runner: call for call in _loaded(calls)}
    arena = max((call.running for call in held.values()), default=0)
    credit = sum(call.weights for call in held.values()) + arena + (_ARENA if held else 0)
    worst = Peak(0, 0, calls[0].component)
    for call in calls:
        before = held.pop(call.runner, None)
        if low_memory:
            held.clear()
        weights = sum(other.weights for other in held.values()) + call.weights
        loading = call.loading(low_memory) if before is None else 0
        arena = call.running if before is None or low_memory else max(arena, call.running)
        total = weights + max(loading, _ARENA + arena) + call.beside - credit
        if total > worst.total:
            worst = Peak(total, weights, call.component)
        held[call.runner] = call
    return worst


def inputs_of(component: Component, dtype: Dtype) -> Mapping[str, Value]:
    """What a network takes, by name; its graph is written once."""
    return _inputs(_Named(component), Variant(compute_of(dtype)))


def is_judged(networks: Networks) -> bool:
    """Whether what its networks take is known: not on a device that cannot be asked, nor of graphs that are given."""
    given = any(component.given is not None for component in networks.model.components.values())
    return networks.placement.provider.name != "cuda" and not given


def _loaded(calls: Sequence[Call]) -> list[Call]:
    """What is loaded already of the networks that are to run, as last run."""
    found = {}
    for call in calls:
        if (last := call.runner.last) is not None:
            shapes, norms = last
            found[call.runner] = Call(call.runner, shapes or call.shapes, norms)
    return list(found.values())


@dataclass(frozen=True)
class _Counted:
    """Bytes of a network: of weights, of these of convolutions' kernels and of integers, and of activations in a run.

    `reorders`: the kernels are re-ordered. `saves`: what ONNX Runtime makes of the weights is what is kept prepared.
    """

    weights: int
    kernels: int
    integers: int
    activations: int
    reorders: bool
    saves: bool


def _counted(call: Call) -> _Counted:
    """What a network takes, in the precision that is computed in."""
    component, runner = call.runner.component, call.runner
    # ONNX Runtime's CPU kernels compute in fp32, whatever the graph says.
    variant = runner.variant(call.norms)
    if runner.provider.widens_weights and variant.compute == "fp16":
        variant = replace(variant, compute="fp32")
    return _cost(_Named(component), variant, tuple(sorted(call.shapes.items())))


class _Named:
    """A component that is known by what its graph is made of."""

    def __init__(self, component: Component) -> None:
        self.component = component
        config: Any = {**component.config}
        self._content = json.dumps(
            [component.name, component.class_name, config], sort_keys=True, default=str
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


@functools.lru_cache(256)
def _inputs(named: _Named, variant: Variant) -> Mapping[str, Value]:
    return named.component.graph(variant).inputs


@functools.lru_cache(256)
def _cost(named: _Named, variant: Variant, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> _Counted:
    graph = named.component.graph(variant)
    counted = cost(graph, dict(shapes))
    kernels = int(graph.convolution_share * counted.weight_bytes)
    reordered = reorders(graph, low_memory=False)
    integers = sum(math.prod(one.shape) for one in graph.quantized.values())
    return _Counted(
        counted.weight_bytes,
        kernels,
        integers,
        counted.peak_activation_bytes,
        reordered,
        saves(graph, low_memory=False),
    )
