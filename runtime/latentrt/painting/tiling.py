"""A large picture in tiles of one size, whose overlaps are blended.

Tiles never differ in size, so that even where sizes are pinned one session serves them all in each pass: they are
spread evenly, and none is cut off at the end. What a network gives near a tile's edge lacks what lies beyond it; that
margin is thrown away, and over the rest of the overlap one tile fades into the next.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import InputError

Array = npt.NDArray[Any]

MIN_TILE = 16  # latents; below that margins are most of a tile


@dataclass(frozen=True)
class Tiling:
    """How to cut, in latents.

    Attributes:
        size: side of a tile, `MIN_TILE` or more.
        overlap: the least that neighbours share.
        margin: of a tile's edge inside of the picture, what is thrown away; twice this is less than `overlap`.
    """

    size: int
    overlap: int
    margin: int

    @classmethod
    def of(cls, size: int) -> "Tiling":
        """A quarter of the tile overlaps, half of that in margins: docs/measurements.md compares.

        Raises:
            InputError: smaller than `MIN_TILE`.
        """
        if size < MIN_TILE:
            raise InputError(f"tile: expected {MIN_TILE} latents or more, got {size}")
        return cls(size, size // 4, size // 16)


@dataclass(frozen=True)
class Grid:
    """The tiles of one picture.

    Attributes:
        height: of the picture, in latents.
        width: likewise.
        tiling: how to cut.
    """

    height: int
    width: int
    tiling: Tiling

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of every tile, in latents; the picture's own where it is smaller."""
        return min(self.tiling.size, self.height), min(self.tiling.size, self.width)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Upper left corners, row by row, in latents."""
        columns = self._starts(self.width)
        return [(row, column) for row in self._starts(self.height) for column in columns]

    @property
    def shares(self) -> list[float]:
        """The share of the picture that comes from each tile; they add up to 1."""
        down, across = self._ramps(self.height, 1), self._ramps(self.width, 1)
        area = self.height * self.width
        return [float(y.sum() * x.sum()) / area for y in down for x in across]

    def cut(self, x: Array, unit: int) -> Iterator[Array]:
        """The tiles of x, (b, c, height · unit, width · unit)."""
        height, width = (size * unit for size in self.tile)
        for row, column in self.corners:
            top, left = row * unit, column * unit
            yield np.ascontiguousarray(x[:, :, top : top + height, left : left + width])

    def join(self, parts: Iterable[Array], unit: int) -> Array:
        """Blend tiles (b, c, h · unit, w · unit), in the order of `cut`, to float32 (b, c, H · unit, W · unit)."""
        whole: Array | None = None
        weights = [
            y[:, None] * x for y in self._ramps(self.height, unit) for x in self._ramps(self.width, unit)
        ]
        for (row, column), weight, part in zip(self.corners, weights, parts, strict=True):
            if whole is None:
                whole = np.zeros((*part.shape[:2], self.height * unit, self.width * unit), np.float32)
            height, width = part.shape[2:]
            whole[:, :, row * unit : row * unit + height, column * unit : column * unit + width] += (
                part * weight
            )
        assert whole is not None  # a grid has one tile at least
        return whole

    def _starts(self, length: int) -> list[int]:
        size, overlap = self.tiling.size, self.tiling.overlap
        if length <= size:
            return [0]
        count = -(-(length - overlap) // (size - overlap))
        return [round(i * (length - size) / (count - 1)) for i in range(count)]

    def _ramps(self, length: int, unit: int) -> list[Array]:
        """The weights of each tile along one axis, float32 (tile · unit,); at every place they add up to 1."""
        begins = self._starts(length)
        size = min(self.tiling.size, length)
        at = (np.arange(length * unit) + 0.5) / unit
        ramps = np.ones((len(begins), length * unit))
        for i, (left, right) in enumerate(pairwise(begins)):
            begin, end = right + self.tiling.margin, left + size - self.tiling.margin
            rising = np.clip((at - begin) / (end - begin), 0, 1)
            ramps[i + 1] *= rising
            ramps[i] *= 1 - rising
        ramps /= ramps.sum(axis=0)  # where three tiles meet
        return [
            ramp[begin * unit : (begin + size) * unit].astype(np.float32)
            for ramp, begin in zip(ramps, begins, strict=True)
        ]
