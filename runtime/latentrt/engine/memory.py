"""What memory the machine has left, and what the networks of a run will take of it.

Weights and activations are read off the graphs; nothing is loaded. docs/measurements.md compares with measurements.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentrt.engine.networks import Networks
from latentrt.engine.runner import Runner, Shapes
from latentrt.models.component import Component
from latentrt.networks import Compute, Value, Variant
from latentrt.networks.cost.macs import cost
from latentrt.networks.variant import Norms

# As measured with ONNX Runtime 1.32's CPU provider, in shares of a network's weights: what comes and goes while they
# are widened; and what one whose weights stay in the file takes while it runs, since its allocator keeps what it grew
# to until the end of the run.
_LOADING, _STREAMED = 0.03, 0.35
_SESSION = 8_000_000  # bytes of a session without weights: its graph and its plan


@dataclass(frozen=True)
class Call:
    """A network that is run.

    Attributes:
        networks: of its model.
        component: its name.
        shapes: of its inputs, where it takes the most memory.
        norms: see `Variant`.
        beside: bytes that the caller holds meanwhile, as pictures.
    """

    networks: Networks
    component: str
    shapes: Shapes
    norms: Norms = "own"
    beside: int = 0

    @property
    def runner(self) -> Runner:
        """What runs it."""
        return self.networks.runners[self.component]

    @property
    def weights(self) -> int:
        """Bytes that it holds while it is loaded."""
        if self.runner.streams:
            return _SESSION
        return _SESSION + _counted(self)[0]

    def loading(self, low_memory: bool) -> int:
        """Bytes that it takes besides while it is loaded, at the most: weights of convolutions are re-ordered."""
        if self.runner.streams:
            return 0
        weights, convolved, _ = _counted(self)
        reordered = 0 if low_memory or not self.runner.provider.widens_weights else convolved
        return int(_LOADING * weights) + reordered

    @property
    def running(self) -> int:
        """Bytes that one run takes besides."""
        weights, _, activations = _counted(self)
        return int(_STREAMED * weights) + activations if self.runner.streams else activations

    @property
    def kept(self) -> int:
        """Bytes of these that it keeps for the next run."""
        return 0 if self.runner.streams else self.running


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

    Networks stay loaded, and keep what their largest run took; with `low_memory`, one is loaded at a time.
    """
    held = {_key(call): call for call in _loaded(calls)}
    credit = sum(call.weights + call.kept for call in held.values())
    worst = Peak(0, 0, calls[0].component)
    for call in calls:
        before = held.pop(_key(call), None)
        if low_memory:
            held.clear()
        weights = sum(other.weights for other in held.values()) + call.weights
        kept = sum(other.kept for other in held.values()) + call.beside
        extra = call.running if before is not None else max(call.loading(low_memory), call.running)
        total = weights + kept + extra - credit
        if total > worst.total:
            worst = Peak(total, weights, call.component)
        held[_key(call)] = call if before is None or call.kept >= before.kept else before
    return worst


def inputs_of(component: Component, compute: Compute) -> Mapping[str, Value]:
    """What a network takes, by name; its graph is written once."""
    return _inputs(_Named(component), Variant(compute))


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
            found[_key(call)] = Call(call.networks, call.component, shapes or call.shapes, norms)
    return list(found.values())


def _key(call: Call) -> tuple[int, str]:
    return id(call.networks), call.component


def _counted(call: Call) -> tuple[int, int, int]:
    """Bytes of weights, of these those of convolutions, and of activations."""
    component, runner = call.runner.component, call.runner
    # ONNX Runtime's CPU kernels compute in fp32, whatever the graph says.
    compute = "fp32" if runner.provider.widens_weights else runner.dtype
    return _cost(_Named(component), Variant(compute, call.norms), tuple(sorted(call.shapes.items())))


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
def _cost(
    named: _Named, variant: Variant, shapes: tuple[tuple[str, tuple[int, ...]], ...]
) -> tuple[int, int, int]:
    graph = named.component.graph(variant)
    counted = cost(graph, dict(shapes))
    convolved = sum(math.prod(parameter.shape) for parameter in graph.parameters if len(parameter.shape) == 4)
    size = 2 if variant.compute == "fp16" else 4
    return counted.weight_bytes, convolved * size, counted.peak_activation_bytes
