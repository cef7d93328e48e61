"""From a config to an ONNX graph: a file a network, over shared layers. Knows neither weights nor providers."""

from latentrt.networks.builders import BUILDERS, TINY, build, class_of, has_int8
from latentrt.networks.graph import Graph, Parameter, Place, Quantized, Value
from latentrt.networks.int8 import quantize
from latentrt.networks.options import Options
from latentrt.networks.variant import COMPUTES, Compute, Dtype, Variant, compute_of

__all__ = [
    "BUILDERS",
    "COMPUTES",
    "TINY",
    "Compute",
    "Dtype",
    "Graph",
    "Options",
    "Parameter",
    "Place",
    "Quantized",
    "Value",
    "Variant",
    "build",
    "class_of",
    "compute_of",
    "has_int8",
    "quantize",
]
