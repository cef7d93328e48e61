"""A Brownian path in σ that is the same whatever steps are taken along it."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from latentrt.noise.source import FloatArray, NoiseSource, check_seed
from latentrt.noise.torch_cpu import TorchGenerator

# Halvings of an octave: points in different leaves, 1/6000 of σ apart, are exactly as they should be.
_DEPTH = 12


class BrownianPath:
    """W(σ) over σ > 0, from seeds alone.

    The path is cut at powers of two, and each octave is halved (in log σ) like a tree; every node draws its own noise,
    from a generator whose seed is made of the path's seed and the node. An increment is therefore the same in a run of
    20 steps as in one of 50, whatever the range of its σ. `BrownianTree` is torchsde's path, which depends on that.

    Args:
        seeds: one for each picture of the batch.
        shape: of one picture, (c, h, w).
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int]) -> None:
        self._seeds = tuple(check_seed(seed) % 2**64 for seed in seeds)
        self._shape = tuple(shape)
        # Neighbouring questions share the upper part of the tree.
        self._normal = lru_cache(maxsize=32 * len(self._seeds))(self._draw)

    @classmethod
    def drawn(cls, rng: NoiseSource, shape: Sequence[int]) -> "BrownianPath":
        """Make a path for a batch of this shape, (b, …), with seeds that the generator draws; two numbers a picture."""
        bits = np.ascontiguousarray(rng.randn((shape[0], 2)), dtype=np.float32).view(np.uint32)
        return cls([int(high) << 32 | int(low) for high, low in bits], shape[1:])

    def __call__(self, sigma: float, sigma_next: float) -> FloatArray:
        """The increment from σ to σ' over the root of |σ − σ'|: unit noise, float32 (b, …)."""
        if sigma == sigma_next:
            return np.zeros((len(self._seeds), *self._shape), np.float32)
        low, high = min(sigma, sigma_next), max(sigma, sigma_next)
        sign = 1.0 if sigma_next > sigma else -1.0
        scale = sign / math.sqrt(high - low)
        return np.stack(
            [(self._increment(seed, low, high) * scale).astype(np.float32) for seed in self._seeds]
        )

    def along_log(self, sigma: float, sigma_next: float, part: float = 1.0) -> FloatArray:
        """The same, to the point that lies so far along the step in log σ."""
        return self(sigma, sigma_next if part == 1 else sigma * (sigma_next / sigma) ** part)

    def _increment(self, seed: int, low: float, high: float) -> FloatArray:
        """W(high) − W(low), float64."""
        first, last = math.frexp(low)[1], math.frexp(high)[1]  # octave k is [2^(k−1), 2^k)
        total = self._within(seed, last, high)
        for octave in range(first, last):
            total = total + self._octave(seed, octave)
        return total - self._within(seed, first, low)

    def _octave(self, seed: int, octave: int) -> FloatArray:
        """The increment over all of an octave."""
        return math.sqrt(2.0 ** (octave - 1)) * self._normal(seed, octave, 0, 0)

    def _within(self, seed: int, octave: int, sigma: float) -> FloatArray:
        """The increment from an octave's lower end to σ, by Brownian bridges."""
        low, high = 2.0 ** (octave - 1), 2.0**octave
        if sigma == low:
            return np.zeros(self._shape)
        at_low, at_high = np.zeros(self._shape), self._octave(seed, octave)
        index = 0
        for depth in range(1, _DEPTH + 2):
            # In a leaf, the bridge is built at σ itself: exact, if nothing else is asked of the same leaf.
            middle = sigma if depth > _DEPTH else math.sqrt(low * high)
            mean = at_low + (middle - low) / (high - low) * (at_high - at_low)
            deviation = math.sqrt(max((middle - low) * (high - middle) / (high - low), 0.0))
            at_middle = mean + deviation * self._normal(seed, octave, depth, index)
            if middle == sigma:
                break
            index *= 2
            if sigma < middle:
                high, at_high = middle, at_middle
            else:
                low, at_low, index = middle, at_middle, index + 1
        return np.asarray(at_middle)

    def _draw(self, seed: int, octave: int, depth: int, index: int) -> FloatArray:
        key = np.random.SeedSequence(seed, spawn_key=(octave + 2048, depth, index))
        return TorchGenerator(int(key.generate_state(1, np.uint64)[0])).randn(self._shape).astype(np.float64)
