"""The safetensors format: what a file holds, and writing one.

https://huggingface.co/docs/safetensors: 8 bytes of little-endian header length, a JSON header with dtype, shape and
byte range of every tensor, then the bytes.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, WeightsError
from latentrt.files import atomic_write
from latentrt.models.header import METADATA, open_header

Array = npt.NDArray[Any]

MAX_DIMENSIONS = 64  # numpy's limit
MAX_SIZE = 2**63 - 1  # of numbers in a header, and of bytes that a shape stands for: numpy's limit again
ALIGNMENT = 64  # bytes; where the data of a file that we write begins. The format allows no gaps after that.

# Name in a safetensors header -> how numpy sees the bytes. BF16 has no numpy type: uint16, widened by shifting.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
DTYPE_NAMES = {dtype: name for name, dtype in NUMPY_TYPES.items() if name != "BF16"}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies. `shape` as stored; `start` and `end` are byte offsets in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def is_aligned(self) -> bool:
        """Whether its first value lies at a multiple of its size, so that it can be read where it is."""
        return self.start % NUMPY_TYPES[self.dtype].itemsize == 0

    @property
    def is_float(self) -> bool:
        """Whether the stored type is a floating-point one."""
        return self.dtype in _FLOATS


def write_safetensors(
    path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays under their names; the file appears whole or not at all.

    Raises:
        ModelError: an array's type is none of safetensors'.
    """
    with atomic_write(path) as file:
        try:
            dump_safetensors(file, tensors, metadata)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None


def dump_safetensors(
    file: BinaryIO, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays under their names into an open file.

    Raises:
        ModelError: an array's type is none of safetensors'.
    """
    entries: dict[str, Any] = {} if metadata is None else {METADATA: dict(metadata)}
    offset = 0
    for name, array in tensors.items():
        if array.dtype.newbyteorder("<") not in DTYPE_NAMES:
            raise ModelError(f"tensor {name} has dtype {array.dtype}, which safetensors cannot hold")
        entries[name] = {
            "dtype": DTYPE_NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    file.write(safetensors_header(entries))
    for array in tensors.values():
        file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def safetensors_header(entries: Mapping[str, Any]) -> bytes:
    """What a file begins with: the header's length and the header, filled up so that data begin aligned."""
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of one file by name; nothing of them is read.

    Raises:
        WeightsError: not a whole safetensors file.
    """
    with open_header(file) as (members, base, size):
        tensors = {name: _entry(name, value, file, base, size) for name, value in members if name != METADATA}
    _check_overlap(file, tensors)
    return tensors


def read_metadata(file: Path) -> dict[str, str]:
    """What the header of a file says beside its tensors; what of it is no text is left out.

    Raises:
        WeightsError: not a whole safetensors file.
    """
    with open_header(file) as (members, _, _):
        said = next((value for name, value in members if name == METADATA), None)
    return (
        {key: value for key, value in said.items() if isinstance(value, str)}
        if isinstance(said, dict)
        else {}
    )


def _entry(name: str, value: Any, file: Path, base: int, size: int) -> Tensor:
    where = f"{file}: tensor {name}"
    if not isinstance(value, dict):
        raise WeightsError(f"{where}: expected an object in the header, got {reprlib.repr(value)}")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in NUMPY_TYPES:
        got = dtype if isinstance(dtype, str) else reprlib.repr(dtype)
        raise WeightsError(f"{where} has dtype {got}; expected one of {', '.join(NUMPY_TYPES)}")
    itemsize = NUMPY_TYPES[dtype].itemsize
    # Zeros do not make the rest harmless: numpy multiplies what is not zero.
    if (
        not _are_sizes(shape)
        or len(shape) > MAX_DIMENSIONS
        or math.prod(max(n, 1) for n in shape) * itemsize > MAX_SIZE
    ):
        raise WeightsError(
            f"{where} has shape {reprlib.repr(shape)}; expected a list of at most {MAX_DIMENSIONS} whole numbers, "
            f"for at most {MAX_SIZE} bytes"
        )
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise WeightsError(
            f"{where} has data_offsets {reprlib.repr(offsets)}; expected two whole numbers, where it begins and ends"
        )
    start, end = offsets
    expected = math.prod(shape) * itemsize
    if end - start != expected:
        raise WeightsError(
            f"{where} of shape {tuple(shape)} {dtype} needs {expected} bytes, has {end - start}"
        )
    if base + end > size:
        raise WeightsError(
            f"{file}: truncated: tensor {name} ends at byte {base + end}, the file has {size}; download it again"
        )
    return Tensor(name, dtype, tuple(shape), file, base + start, base + end)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= MAX_SIZE for n in value)


def _check_overlap(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse bytes that belong to two tensors, as the format does: such a file is damaged or forged."""
    placed = sorted((t for t in tensors.values() if t.start < t.end), key=lambda t: t.start)
    for before, after in pairwise(placed):
        if after.start < before.end:
            raise WeightsError(
                f"{file}: tensor {after.name} begins inside of tensor {before.name}; the file is damaged, "
                "download it again"
            )
