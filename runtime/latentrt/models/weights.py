"""Weights: safetensors by name, mapped into memory, never copied before somebody asks for an array."""

import math
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import WeightsError
from latentrt.files import open_regular
from latentrt.models.floats import WIDENED
from latentrt.models.safetensors import NUMPY_TYPES, Tensor, read_header

Array = npt.NDArray[Any]

# Checkpoints in circulation bear older or newer names for the same tensor: (ours, theirs).
_ALIASES: tuple[tuple[re.Pattern[str], str], ...] = (
    # diffusers < 0.12 named the VAE's attention projections otherwise (SD 1.x, 2.x as published).
    (re.compile(r"\.to_q\."), ".query."),
    (re.compile(r"\.to_k\."), ".key."),
    (re.compile(r"\.to_v\."), ".value."),
    (re.compile(r"\.to_out\.0\."), ".proj_attn."),
    # transformers >= 5 saves CLIPTextModel without the prefix, everybody before with it.
    (re.compile(r"^text_model\."), ""),
)


class Weights(Mapping[str, Tensor]):
    """The tensors of one component, over one or several safetensors files."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self.files = files
        self._tensors: dict[str, Tensor] = {}
        for file in files:
            self._tensors.update(read_header(file))
        self._maps: dict[Path, np.memmap[Any, Any]] = {}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Weights":
        """Tensors that are known already, under the names that they are asked for by."""
        weights = cls(())
        weights.files = tuple(sorted({tensor.file for tensor in tensors.values()}))
        weights._tensors = dict(tensors)
        return weights

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def find(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor | None:
        """Look a parameter up by its current name, then by the names that other versions gave it.

        Where it is stored with more axes of size 1 behind those of `shape`, or fewer, it is given in that shape.
        """
        found = next((alias for alias in names_of(name) if alias in self._tensors), None)
        if found is None:
            return None
        tensor = self._tensors[found]
        return tensor if shape is None or not extends(tensor.shape, shape) else tensor._replace(shape=shape)

    def array(self, name: str, dtype: npt.DTypeLike | None = None) -> Array:
        """The parameter of this name, as `find` looks it up and `read` gives it.

        Raises:
            WeightsError: there is none.
        """
        tensor = self.find(name)
        if tensor is None:
            raise WeightsError(f"tensor {name} is missing in {', '.join(map(str, self.files))}")
        return self.read(tensor, dtype)

    def read(self, tensor: Tensor, dtype: npt.DTypeLike | None = None) -> Array:
        """The tensor as an array of its shape, in `dtype` (None: as stored; what numpy has no type of as float32).

        Where the type already fits, the array is a read-only view of the mapped file, not a copy.
        """
        array = self.stored(tensor)
        if tensor.dtype in WIDENED:
            array = WIDENED[tensor.dtype](array)
        if tensor.scale is not None:
            array = array * self.scale(tensor)
        return array if dtype is None else array.astype(dtype, copy=False)

    def stored(self, tensor: Tensor) -> Array:
        """The tensor in its shape, as it is stored: in its own type or numbers of that size, without its scale."""
        if tensor.file not in self._maps:
            with open_regular(tensor.file, WeightsError) as file:
                self._maps[tensor.file] = np.memmap(file, dtype=np.uint8, mode="r")
        raw = self._maps[tensor.file][tensor.start : tensor.end]
        if len(raw) < tensor.end - tensor.start:
            raise WeightsError(f"{tensor.file}: has become shorter since it was opened")
        array: Array = np.asarray(raw).view(NUMPY_TYPES[tensor.dtype])
        return array.reshape(tensor.shape[::-1]).T if tensor.is_transposed else array.reshape(tensor.shape)

    def scale(self, tensor: Tensor) -> Array:
        """What a tensor's values are to be multiplied by, float32, in a shape that goes with its own.

        Scales of rows are those of the rows as stored.

        Raises:
            WeightsError: it is neither one number nor one for each row, or not finite.
        """
        if tensor.scale is None:
            return np.ones((), np.float32)
        scale = self.read(tensor.scale, np.float32).reshape(-1)
        stored = tensor.shape[::-1] if tensor.is_transposed else tensor.shape
        if scale.size not in (1, *stored[:1]) or not np.isfinite(scale).all():
            raise WeightsError(
                f"{tensor.file}: tensor {tensor.scale.name} is to scale {tensor.name}: expected one finite number, or "
                f"one for each row of shape {stored}; got shape {tensor.scale.shape}"
            )
        if scale.size == 1:
            return scale.reshape(())
        axes = [1] * (len(stored) - 1)
        return scale.reshape((*axes, -1) if tensor.is_transposed else (-1, *axes))

    def release(self) -> None:
        """Let the system take back the pages of the mapped files; what is read again is loaded again."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return  # Windows has no such call, and takes unused pages back by itself
        for mapped in self._maps.values():
            mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors as stored."""
        return sum(tensor.end - tensor.start for tensor in self._tensors.values())

    @property
    def num_parameters(self) -> int:
        """Number of values in all floating-point tensors."""
        return sum(math.prod(t.shape) for t in self._tensors.values() if t.is_float)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The floating-point types that occur, as the headers name them."""
        return tuple(sorted({t.dtype for t in self._tensors.values() if t.is_float}))


def names_of(name: str) -> Iterator[str]:
    """The current name of a parameter, then those that other versions gave it."""
    yield name
    for pattern, replacement in _ALIASES:
        yield pattern.sub(replacement, name)


def extends(stored: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether two shapes are the same but for axes of size 1 at the end: 1×1 convolutions are kept as matrices, too."""
    shared = min(len(stored), len(shape))
    return stored[:shared] == shape[:shared] and all(
        size == 1 for size in (*stored[shared:], *shape[shared:])
    )


def read_safetensors(path: Path) -> dict[str, Array]:
    """All tensors of one file, as arrays of their own (bf16 as float32).

    Raises:
        WeightsError: not a whole safetensors file.
    """
    weights = Weights((path,))
    return {name: np.array(weights.read(tensor)) for name, tensor in weights.items()}
