"""What is wanted of a network, beside what its config says it is."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Compute: TypeAlias = Literal["fp16", "fp32", "int8"]
Dtype: TypeAlias = Literal["fp16", "bf16", "fp32", "int8"]  # what a network computes in
Norms: TypeAlias = Literal["own", "told", "given"]

COMPUTES: tuple[Compute, ...] = ("fp16", "fp32")  # of the two graphs that every bundle has


def compute_of(dtype: Dtype) -> Compute:
    """The graph for a type; bf16 is what a provider makes of one in fp16."""
    return "fp16" if dtype == "bf16" else dtype


@dataclass(frozen=True)
class Variant:
    """Data handed to a builder; the same config in another variant is another graph over the same weights.

    Attributes:
        compute: what the graph computes in; its parameters are FLOAT16 in either. "int8": layers in 8-bit integers, of
            weights that are made of the parameters (`int8.py`), the rest in fp32, and arrays channels-last between the
            ports. Such a graph runs in ONNX Runtime alone.
        norms: whose moments the group norms take. "own": of what they are given. "told": likewise, and each tells them
            as outputs. "given": from inputs, for a network that sees a picture one tile at a time (`norms.py`).
        any_weights: cast every parameter, so that the file that it is placed in may hold any float type. A graph of
            fp32 compute always does; one of fp16 compute else takes FLOAT16 alone.
        fused_attention: attention of several heads without a mask is one node, ONNX Runtime's own MultiHeadAttention,
            whose kernel on the CPU holds a block of the scores at a time. Such a graph runs in ONNX Runtime alone.
    """

    compute: Compute = "fp32"
    norms: Norms = "own"
    any_weights: bool = False
    fused_attention: bool = False
