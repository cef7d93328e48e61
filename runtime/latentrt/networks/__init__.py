"""From a config to an ONNX graph: a file a network, over shared layers. Knows neither weights nor providers."""

from latentrt.networks.builders import BUILDERS, TINY, build, class_of, has_int8
from latentrt.networks.graph import Graph, Parameter, Place, Quantized, Value
from latentrt.networks.int8 import quantize
from latentrt.networks.options import Options
from latentrt.networks.variant import COMPUTES, Compute, Variant

__all__ = [
    "BUILDERS",
    "COMPUTES",
    "TINY",
    "Compute",
    "Graph",
    "Options",
    "Parameter",
    "Place",
    "Quantized",
    "Value",
    "Variant",
    "build",
    "class_of",
    "has_int8",
    "quantize",
]
