"""What storing a checkpoint's weights in another type changes; and that nothing else was changed."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.verify import errors
from latentrt.errors import LatentrtError
from latentrt.models.manifest import Parity
from latentrt.models.weights import Weights
from latentrt_export.bundle.source import Tensors

Array = npt.NDArray[Any]

_CHUNK = 1 << 22  # values that are compared at a time, in float64


class ParityError(LatentrtError):
    """What was written is not the checkpoint, or does not compute what torch computes."""


@dataclass(frozen=True)
class Stored:
    """The written weights beside the checkpoint's: see `latentrt.models.manifest.Rounding`. `largest`: |weight|."""

    read: tuple[str, ...]
    stored: str
    weights: Parity
    largest: float


def compare_weights(component: str, weights: Path, tensors: Tensors) -> Stored:
    """Hold every tensor of a file that was written to the checkpoint's, number by number.

    Raises:
        ParityError: one is not what rounding the checkpoint's gives.
    """
    written = Weights((weights,))
    largest = apart = total = worst = 0.0
    for name, tensor in written.items():
        ours, theirs = written.read(tensor), tensors.read(name, tensor.shape)
        with np.errstate(over="ignore"):
            if not np.array_equal(ours, theirs.astype(ours.dtype, copy=False)):
                raise ParityError(
                    f"{component}: tensor {name} was not written as the checkpoint has it; this is a mistake of "
                    "latentrt or of the disk: try again, and report it if it comes back"
                )
        flat, other = ours.reshape(-1), theirs.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            wanted = other[start : start + _CHUNK].astype(np.float64)
            difference = flat[start : start + _CHUNK] - wanted
            total += float(wanted @ wanted)
            apart += float(difference @ difference)
            worst = max(worst, float(np.abs(difference).max()))
            largest = max(largest, float(np.abs(wanted).max()))
        written.release()
    read = {tensors.dtype(name) for name in written}
    relative = math.sqrt(apart / total) if total > 0 else math.sqrt(apart)
    return Stored(tuple(sorted(read)), "/".join(written.dtypes), Parity(worst, relative), largest)


def worst_errors(got: list[dict[str, Array]], expected: list[dict[str, Array]]) -> Parity:
    """The largest errors over all trials and outputs; None where something is NaN or infinite."""
    found = [
        errors(ours[name], wanted)
        for ours, theirs in zip(got, expected, strict=True)
        for name, wanted in theirs.items()
    ]
    max_abs, relative = (max(values, default=0.0) for values in zip(*found, strict=True))
    return Parity(max_abs, relative) if math.isfinite(relative) else Parity(None, None)
