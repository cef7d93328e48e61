"""What is wanted of a network, beside what its config says it is."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Compute: TypeAlias = Literal["fp16", "fp32"]
Norms: TypeAlias = Literal["own", "told", "given"]

COMPUTES: tuple[Compute, ...] = ("fp16", "fp32")


@dataclass(frozen=True)
class Variant:
    """Data handed to a builder; the same config in another variant is another graph over the same weights.

    Attributes:
        compute: what the graph computes in; its parameters are FLOAT16 in either.
        norms: whose moments the group norms take. "own": of what they are given. "told": likewise, and each tells them
            as outputs. "given": from inputs, for a network that sees a picture one tile at a time (`norms.py`).
        any_weights: cast every parameter, so that the file that it is placed in may hold any float type. A graph of
            fp32 compute always does; one of fp16 compute else takes FLOAT16 alone.
    """

    compute: Compute = "fp32"
    norms: Norms = "own"
    any_weights: bool = False
