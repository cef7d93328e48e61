"""One network of a model that is given as ONNX: its graph, and which of its ports is which of ours."""

from dataclasses import dataclass

from latentrt.models.given.given_graph import GivenGraph
from latentrt.models.given.ports import Ports


@dataclass(frozen=True)
class GivenPart:
    """A given graph and its ports."""

    graph: GivenGraph
    ports: Ports

    @property
    def gives_states(self) -> bool:
        """Whether it gives the states of several layers, so that some can be left out."""
        return sum(name.startswith("hidden_states.") for name in self.ports.outputs) > 1
