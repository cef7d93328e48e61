"""Gaussian noise as `torch.randn(…, device="cuda")` draws it, which AUTOMATIC1111 calls "NV".

The generator is Philox 4×32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
function of a 64-bit key, the seed, and a 128-bit counter. cuRAND gives the counter's high half to the thread, its low
half to the calls of that thread; ATen decides which thread fills which value (`native/cuda/DistributionTemplates.h`).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, check_seed, check_shape

_Words = NDArray[np.uint64]

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85  # added to the key from round to round
_ROUNDS = 10
_MASK = 0xFFFFFFFF

_BLOCK = 256  # threads in a block of ATen's distribution kernels
_LANES = 4  # values that curand_normal4 makes of one counter

# cuRAND's CURAND_2POW32_INV and CURAND_2POW32_INV_2PI, which are float32.
_INV = float(np.float32(2.3283064e-10))
_INV_2PI = float(np.float32(2.3283064e-10 * 6.2831855))


class PhiloxGenerator:
    """torch's CUDA generator.

    Where a GPU holds as many threads as there are values, each fills one, and all such GPUs draw the same noise. That
    is what AUTOMATIC1111 computes with the random number source "NV", for any size. Above that number (latents of
    1024×1024 pixels have 65,536 values; an RTX 3060 holds 43,008 threads, an A100 221,184) each thread fills several,
    and noise differs from one GPU to another: `threads` says which is meant.

    Args:
        seed: −2⁶³ … 2⁶⁴ − 1. All 64 bits count; negative seeds are taken modulo 2⁶⁴, as torch does.
        threads: that the GPU holds at once, its multiprocessors × the threads of each, a multiple of 256.
            None: as many as there are values, AUTOMATIC1111's "NV".

    Raises:
        InputError: the seed is no integer or out of range, or `threads` is no positive multiple of 256.
    """

    def __init__(self, seed: int, threads: int | None = None) -> None:
        value = check_seed(seed)
        if threads is not None and (threads <= 0 or threads % _BLOCK):
            raise InputError(f"threads: expected a positive multiple of {_BLOCK}, got {threads}")
        self._key = value & _MASK, value >> 32 & _MASK
        self._threads = threads
        self._calls = 0  # counters that every thread has used up

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw standard normal numbers, float32, as `torch.randn(shape, generator=…, device="cuda")`.

        Raises:
            InputError: a negative size.
        """
        sizes = check_shape(shape)
        count = math.prod(sizes)
        if count == 0:  # nothing is launched: torch's generator stays as it is
            return np.zeros(sizes, np.float32)
        if self._threads is None or count <= self._threads:
            words = philox4x32(self._calls, np.arange(count, dtype=np.uint64), self._key)
            radius, angle = _polar(words[0], words[1])
            values = (radius * np.sin(angle)).astype(
                np.float32
            )  # of the four, the first alone has a place to go
            self._calls += 1
        else:
            # Value i is lane (i / threads) mod 4 of thread (i mod threads), at its call i / (4·threads).
            threads = np.arange(self._threads, dtype=np.uint64)
            calls = -(-count // (_LANES * self._threads))
            drawn = [philox4x32(self._calls + call, threads, self._key) for call in range(calls)]
            lanes = [_box_muller(*pair) for words in drawn for pair in (words[:2], words[2:])]
            values = np.concatenate([lane for pair in lanes for lane in pair])[:count]
            self._calls += calls
        return values.reshape(sizes)


def philox4x32(counter: int, threads: _Words, key: tuple[int, int]) -> list[_Words]:
    """Encrypt each thread's 128-bit counter into four words of 32 bits.

    Args:
        counter: its low half, the same for all.
        threads: its high half, one each, uint64.
        key: the low and the high 32 bits of the seed.
    """
    mask, half = np.uint64(_MASK), np.uint64(32)
    words = [
        np.full_like(threads, counter & _MASK),
        np.full_like(threads, counter >> 32),
        threads & mask,
        threads >> half,
    ]
    for turn in range(_ROUNDS):
        left, right = (np.uint64(part + turn * weyl & _MASK) for part, weyl in zip(key, _WEYL, strict=True))
        first, second = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
        words = [
            (second >> half) ^ words[1] ^ left,
            second & mask,
            (first >> half) ^ words[3] ^ right,
            first & mask,
        ]
    return words


def _box_muller(x: _Words, y: _Words) -> tuple[FloatArray, FloatArray]:
    """Turn two words of 32 bits into two normals, cuRAND's `_curand_box_muller`: the sine's, then the cosine's."""
    radius, angle = _polar(x, y)
    return (radius * np.sin(angle)).astype(np.float32), (radius * np.cos(angle)).astype(np.float32)


def _polar(x: _Words, y: _Words) -> tuple[FloatArray, FloatArray]:
    """Turn two words of 32 bits into radius and angle.

    In float64, as AUTOMATIC1111 computes it. A GPU does so in float32, with its fast sine and cosine.
    """
    u, v = x * _INV + _INV / 2, y * _INV_2PI + _INV_2PI / 2
    return np.sqrt(-2.0 * np.log(u)), v
