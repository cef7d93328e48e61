"""The safetensors format: what a file holds, and writing one.

https://huggingface.co/docs/safetensors: 8 bytes of little-endian header length, a JSON header with dtype, shape and
byte range of every tensor, then the bytes.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, WeightsError
from latentrt.files import atomic_write
from latentrt.models.header import METADATA, open_header

Array = npt.NDArray[Any]

MAX_DIMENSIONS = 64  # numpy's limit
MAX_SIZE = 2**63 - 1  # of numbers in a header, and of bytes that a shape stands for: numpy's limit again
ALIGNMENT = 64  # bytes; where the data of a file that we write begins. The format allows no gaps after that.

# Name in a safetensors header -> how numpy sees the bytes. Types of the format that numpy has none of are seen as
# unsigned numbers of their size; `floats.py` widens those that weights have.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "F8_E8M0": np.dtype("u1"),
    "F8_E4M3FNUZ": np.dtype("u1"),
    "F8_E5M2FNUZ": np.dtype("u1"),
    "C64": np.dtype("<c8"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_SEEN_AS_OTHERS = frozenset({"BF16", *(name for name in NUMPY_TYPES if name.startswith("F8_"))})
DTYPE_NAMES = {dtype: name for name, dtype in NUMPY_TYPES.items() if name not in _SEEN_AS_OTHERS}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


class Tensor(NamedTuple):
    """Where one tensor lies, and how it is to be read there.

    A tuple, as a header has thousands: a frozen dataclass takes three times as long to make.

    Attributes:
        name: in its file.
        dtype: as stored, as safetensors names it.
        shape: that of what is read.
        file: where it lies.
        start, end: byte offsets in the file.
        is_transposed: it is stored with its axes the other way round.
        scale: what its values are to be multiplied by, a number or one for each row; None: by nothing.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int
    is_transposed: bool = False
    scale: "Tensor | None" = None

    @property
    def lies_as_read(self) -> bool:
        """Whether the file's bytes are what is read: in order, and at a multiple of their type's size."""
        return not self.is_transposed and self.start % NUMPY_TYPES[self.dtype].itemsize == 0

    @property
    def transposed(self) -> "Tensor":
        """The same, with its axes the other way round."""
        return self._replace(shape=self.shape[::-1], is_transposed=not self.is_transposed)

    def rows(self, first: int, count: int) -> "Tensor":
        """So many of its rows, from the first one on."""
        size = (self.end - self.start) // self.shape[0]
        start = self.start + first * size
        scale = self.scale
        if scale is not None and scale.shape[:1] == self.shape[:1]:
            scale = scale.rows(first, count)
        return self._replace(
            shape=(count, *self.shape[1:]), start=start, end=start + count * size, scale=scale
        )

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
    return read_whole_header(file)[0]


def read_whole_header(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of one file by name, and what its header says beside them, as far as it is text.

    Raises:
        WeightsError: not a whole safetensors file.
    """
    said: Any = None
    tensors: dict[str, Tensor] = {}
    with open_header(file) as (members, base, size):
        for name, value in members:
            if name == METADATA:
                said = value
            else:
                tensors[name] = _entry(name, value, file, base, size)
    _check_overlap(file, tensors)
    metadata = said if isinstance(said, dict) else {}
    return tensors, {key: value for key, value in metadata.items() if isinstance(value, str)}


def _entry(name: str, value: Any, file: Path, base: int, size: int) -> Tensor:
    if not isinstance(value, dict):
        got = reprlib.repr(value)
        raise WeightsError(f"{file}: tensor {name}: expected an object in the header, got {got}")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in NUMPY_TYPES:
        got = dtype if isinstance(dtype, str) else reprlib.repr(dtype)
        raise WeightsError(f"{file}: tensor {name} has dtype {got}; expected one of {', '.join(NUMPY_TYPES)}")
    # Zeros do not make the rest harmless: numpy multiplies what is not zero.
    itemsize = NUMPY_TYPES[dtype].itemsize
    if (
        not _are_sizes(shape)
        or len(shape) > MAX_DIMENSIONS
        or (expected := math.prod(filter(None, shape)) * itemsize) > MAX_SIZE
    ):
        raise WeightsError(
            f"{file}: tensor {name} has shape {reprlib.repr(shape)}; expected a list of at most {MAX_DIMENSIONS} whole "
            f"numbers, for at most {MAX_SIZE} bytes"
        )
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise WeightsError(
            f"{file}: tensor {name} has data_offsets {reprlib.repr(offsets)}; expected two whole numbers, where it "
            "begins and ends"
        )
    start, end = offsets
    if 0 in shape:
        expected = 0
    if end - start != expected:
        raise WeightsError(
            f"{file}: tensor {name} of shape {tuple(shape)} {dtype} needs {expected} bytes, has {end - start}"
        )
    if base + end > size:
        raise WeightsError(
            f"{file}: truncated: tensor {name} ends at byte {base + end}, the file has {size}; download it again"
        )
    return Tensor(name, dtype, tuple(shape), file, base + start, base + end)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    if not isinstance(value, list):
        return False
    for number in value:  # noqa: SIM110  # a header has some 10,000 of them, and a generator takes twice as long
        if type(number) is not int or not 0 <= number <= MAX_SIZE:
            return False
    return True


def _check_overlap(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse bytes that belong to two tensors, as the format does: such a file is damaged or forged."""
    placed = sorted((t for t in tensors.values() if t.start < t.end), key=lambda t: t.start)
    for before, after in pairwise(placed):
        if after.start < before.end:
            raise WeightsError(
                f"{file}: tensor {after.name} begins inside of tensor {before.name}; the file is damaged, "
                "download it again"
            )
