"""From a config to an ONNX graph: a file a network, over shared layers. Knows neither weights nor providers."""

from latentrt.networks.builders import BUILDERS, build, class_of
from latentrt.networks.graph import Graph, Parameter, Place, Value
from latentrt.networks.options import Options
from latentrt.networks.variant import COMPUTES, Compute, Variant

__all__ = [
    "BUILDERS",
    "COMPUTES",
    "Compute",
    "Graph",
    "Options",
    "Parameter",
    "Place",
    "Value",
    "Variant",
    "build",
    "class_of",
]
