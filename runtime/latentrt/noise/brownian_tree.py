"""torchsde's Brownian tree, which k-diffusion's SDE samplers draw their noise from."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, NoiseSource, check_seed, check_shape
from latentrt.noise.torch_cpu import TorchGenerator

# What k-diffusion and diffusers ask of torchsde: `tol=1e-6`, to whose digits every σ is rounded, and `pool_size=24`.
_DIGITS = 6
_POOL = 24
# Draws that are kept: neighbouring questions share an end, and the path to it from the root (24 nodes, of σ to 14.6).
_KEPT = 64


class _Node(NamedTuple):
    """An interval of the tree: from `low` to `high`, number `place` of the 2^`depth` of its depth."""

    low: float
    high: float
    depth: int
    place: int


class BrownianTree:
    """W(σ) from a lowest to a highest σ, as `torchsde.BrownianTree` of torchsde 0.2.6 has it.

    k-diffusion's `BrownianTreeNoiseSampler`, which ComfyUI, AUTOMATIC1111 and diffusers follow: for DPM++ SDE, 2M SDE
    and 3M SDE. The range is halved until an end of the question is met, to 1e-6; each node draws its noise from a
    generator of its own seed, which numpy's `SeedSequence` makes of the tree's seed and the node. So the answers depend
    on the range, and not on the order of the questions or how many there are.

    Every σ counts as float32, in which those programs ask, and is then rounded to six digits: where a σ differs in its
    last bit, noise may differ by 1e-3. Their logarithms and exponentials are float32's nearest here; torch's miss the
    last bit in 4 of 100 logarithms and in 1 of 100 exponentials, in which ones depends on the machine.

    Args:
        seed: one, of a tree over the whole batch; or one for each picture, which then has a tree of its own.
        shape: of the batch, (b, c, h, w).
        low: the lowest σ of the range. A σ outside of the range counts as its end, as torchsde has it.
        high: the highest.
        generator: makes the source from which a node draws, of a seed below 2³²: `TorchGenerator`, as torchsde itself,
            or `PhiloxGenerator`, as AUTOMATIC1111's "NV".
        log_ends: whether a step in log σ is asked from and to exp(log σ), as diffusers and k-diffusion do in DPM++ SDE,
            or from and to σ itself, as ComfyUI does.

    Raises:
        InputError: a seed is negative, which torchsde has no tree for; there are not as many as pictures; the lowest σ
            is above the highest, or one is no number.
    """

    def __init__(
        self,
        seed: int | Sequence[int],
        shape: Sequence[int],
        low: float,
        high: float,
        generator: Callable[[int], NoiseSource] = TorchGenerator,
        log_ends: bool = True,
    ) -> None:
        low, high = _float32(low), _float32(high)
        if not -math.inf < low <= high < math.inf:
            raise InputError(
                f"Brownian tree: expected a range from the lowest σ to the highest, got {low} to {high}"
            )
        sizes = check_shape(shape)
        self._whole = not isinstance(seed, Sequence)
        self._entropies = tuple(_entropy(one) for one in ([seed] if not isinstance(seed, Sequence) else seed))
        if self._whole:
            self._shape = sizes
        elif len(self._entropies) == sizes[0]:
            self._shape = sizes[1:]
        else:
            raise InputError(
                f"Brownian tree: {len(self._entropies)} seeds for a batch of {sizes[0]}; expected one each"
            )
        self._generator, self._log_ends = generator, log_ends
        self._root = _Node(round(low, _DIGITS), round(high, _DIGITS), 0, 0)
        # Its length alone is not rounded. Scalars are of Python, which leave float32 noise float32.
        self._total = self._drawn() * math.sqrt(high - low)
        self._bridge = lru_cache(maxsize=_KEPT)(self._drawn)

    def __call__(self, sigma: float, sigma_next: float) -> FloatArray:
        """The increment from σ to σ' over the root of |σ − σ'|: unit noise, (b, c, h, w), 0 where σ = σ'."""
        sigma, sigma_next = _float32(sigma), _float32(sigma_next)
        ends = sorted(
            round(min(max(s, self._root.low), self._root.high), _DIGITS) for s in (sigma, sigma_next)
        )
        # From the lower end on, in torchsde's order, so that float32 rounds alike.
        total = np.zeros_like(self._total)
        if ends[0] < ends[1]:
            total = reduce(np.add, self._parts(self._root, self._total, *ends))
        sign = 1.0 if sigma < sigma_next else -1.0
        if sigma != sigma_next:
            # The distance is float32 there, too.
            total = total * sign / np.sqrt(np.float32(abs(np.float32(sigma_next) - np.float32(sigma))))
        return np.asarray(total[0] if self._whole else total)

    def along_log(self, sigma: float, sigma_next: float, part: float = 1.0) -> FloatArray:
        """The same, to the point that lies so far along the step in log σ; all of it in float32, as there."""
        t, t_next = _log(sigma), _log(sigma_next)
        begin = _exp(t) if self._log_ends else sigma
        if part != 1:
            return self(begin, _exp(t + (t_next - t) * np.float32(part)))
        return self(begin, _exp(t_next) if self._log_ends else sigma_next)

    def _parts(self, node: _Node, whole: FloatArray, low: float, high: float) -> Iterator[FloatArray]:
        """The increments over the largest nodes that make up an interval, from its lower end on.

        Args:
            node: that holds the interval.
            whole: the increment over it, of each tree.
            low: the interval's lower end.
            high: its higher end, > low.
        """
        if (node.low, node.high) == (low, high):
            yield whole
            return
        middle = round(0.5 * (node.low + node.high), _DIGITS)
        left, right, over = middle - node.low, node.high - middle, 1 / (node.high - node.low)
        # The Brownian bridge, in torchsde's order.
        lower = left * whole * over + math.sqrt(left * right * over) * self._bridge((node.place, node.depth))
        depth, place = node.depth + 1, 2 * node.place
        if low < middle:
            below = _Node(node.low, middle, depth, place)
            yield from self._parts(below, lower, low, min(high, middle))
        if high > middle:
            above = _Node(middle, node.high, depth, place + 1)
            yield from self._parts(above, whole - lower, max(low, middle), high)

    def _drawn(self, key: tuple[int, ...] = ()) -> FloatArray:
        """Noise of each tree: of the whole range, or of the node with this key."""
        states = (
            np.random.SeedSequence(entropy, spawn_key=key, pool_size=_POOL).generate_state(1)
            for entropy in self._entropies
        )
        return np.stack([self._generator(int(state[0])).randn(self._shape) for state in states])


def _float32(sigma: float) -> float:
    return float(np.float32(sigma))


def _log(sigma: float) -> np.float32:
    return np.float32(math.log(_float32(sigma)))


def _exp(log: np.float32) -> float:
    return _float32(math.exp(log))


def _entropy(seed: int) -> int:
    value = check_seed(seed)
    if value < 0:
        raise InputError(f"seed: a Brownian tree as torchsde's takes none below 0, got {value}")
    return value
