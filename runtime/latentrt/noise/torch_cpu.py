"""Gaussian noise, number for number as `torch.Generator("cpu").manual_seed(seed)` with `torch.randn` draws it.

The generator is MT19937 with the seeding of Matsumoto and Nishimura's 2002 reference (`init_genrand`), which is also
numpy's `RandomState(seed)`, whose stream numpy promises never to change. What torch makes of its 32-bit words is read
from ATen: `native/cpu/DistributionTemplates.h` (`normal_fill`) and `core/DistributionsHelper.h`.

torch computes float32 with other approximations of log, sin and cos on CPUs with AVX2 than elsewhere; its own two paths
differ by up to 2e-6. The noise here is within 1e-6 of the first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, check_seed, check_shape

_BLOCK = 16  # ATen's normal_fill transforms 16 uniforms at a time: 8 radii, 8 angles


class TorchGenerator:
    """torch's CPU generator.

    Successive calls carry the state on as torch does. One generator for a whole batch is what diffusers (given one
    generator) and ComfyUI do; for one generator per picture see `PerImage`.

    Args:
        seed: −2⁶³ … 2⁶⁴ − 1, as torch accepts it. MT19937 is seeded with the low 32 bits, so that seeds
            equal modulo 2³² give the same noise, in torch too.

    Raises:
        InputError: the seed is no integer, or out of range.
    """

    def __init__(self, seed: int) -> None:
        self._words = np.random.RandomState(check_seed(seed) & 0xFFFFFFFF)  # init_genrand(seed)
        self._cached: float | None = None  # the second normal of the last Box–Muller pair of the scalar path

    def randn(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> FloatArray:
        """Draw standard normal numbers as `torch.randn(shape, generator=…, dtype=…)`.

        Args:
            shape: of any rank; 16 numbers or more take another path through torch than fewer do.
            dtype: float32 or float64. The two are different streams, not roundings of one another.

        Raises:
            InputError: another dtype, or a negative size.
        """
        sizes, kind = check_shape(shape), _check_dtype(dtype)
        count = math.prod(sizes)
        if count < _BLOCK:
            values = np.array([self._normal() for _ in range(count)], dtype=kind)
        else:
            values = self._normal_fill(count, kind)
        return values.reshape(sizes)

    def rand(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> FloatArray:
        """Draw numbers uniform in [0, 1) as `torch.rand(shape, generator=…, dtype=…)`.

        Raises:
            InputError: another dtype than float32 and float64, or a negative size.
        """
        sizes, kind = check_shape(shape), _check_dtype(dtype)
        return self._uniform(math.prod(sizes), kind).reshape(sizes)

    def _uniform(self, count: int, kind: np.dtype[Any]) -> FloatArray:
        """Draw `count` uniforms in [0, 1): as many low bits of each word as the mantissa holds."""
        if kind == np.float32:
            words = self._words.randint(0, 2**32, size=count, dtype=np.uint32)
            return (words & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2.0**-24)
        halves = self._words.randint(0, 2**32, size=(count, 2), dtype=np.uint32).astype(np.uint64)
        pairs = (halves[:, 0] << np.uint64(32)) | halves[:, 1]  # the word drawn first is the high one
        return (pairs & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53

    def _normal_fill(self, count: int, kind: np.dtype[Any]) -> FloatArray:
        """Fill 16 values or more: uniforms first, then Box–Muller in blocks of 16, the last block redrawn."""
        values = self._uniform(count, kind)
        whole = count - count % _BLOCK
        _box_muller(values[:whole].reshape(-1, _BLOCK))
        if whole != count:
            values[-_BLOCK:] = self._uniform(_BLOCK, kind)
            _box_muller(values[-_BLOCK:].reshape(1, _BLOCK))
        return values

    def _normal(self) -> float:
        """Draw one value of fewer than 16: Box–Muller in double, the second of each pair kept for later."""
        if self._cached is not None:
            value, self._cached = self._cached, None
            return value
        u1, u2 = self._uniform(2, np.dtype(np.float64)).tolist()
        radius, theta = math.sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
        self._cached = radius * math.sin(theta)
        return radius * math.cos(theta)


@dataclass(frozen=True)
class Float64Generator:
    """Draws float64 from torch's CPU generator: another stream than float32's, not the same numbers.

    Attributes:
        generator: from which it draws.
    """

    generator: TorchGenerator

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw float64 noise, `torch.randn(shape, generator=…, dtype=torch.float64)`."""
        return self.generator.randn(shape, np.float64)


def _check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind not in (np.float32, np.float64):
        raise InputError(f"dtype: expected float32 or float64, got {kind}")
    return kind


def _box_muller(blocks: FloatArray) -> None:
    """Turn uniforms (n, 16) into normals in place: u₁ from the first eight, u₂ from the last; cosines, then sines."""
    radius = np.sqrt(-2 * np.log(1 - blocks[:, :8]))  # 1 − u lies in (0, 1]: no log of 0
    theta = blocks.dtype.type(2 * math.pi) * blocks[:, 8:]
    blocks[:, :8] = radius * np.cos(theta)
    blocks[:, 8:] = radius * np.sin(theta)
