"""AUTOMATIC1111's variation seed: a picture between those of two seeds."""

from collections.abc import Sequence

import numpy as np

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, NoiseSource


class Variation:
    """Noise whose first array is blended with that of another seed; what follows is the first seed's own.

    In a batch AUTOMATIC1111 holds the seed and counts the variation seed up, so that picture i is
    `Variation(TorchGenerator(seed), TorchGenerator(variation_seed + i), strength)`, one source each in `PerImage`.

    Args:
        source: of the picture's seed.
        variation: of the variation seed ("subseed"). Drawn from once, and not at all where strength is 0.
        strength: 0 gives the noise of `source`, 1 that of `variation`.

    Raises:
        InputError: strength is not from 0 to 1.
    """

    def __init__(self, source: NoiseSource, variation: NoiseSource, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise InputError(f"variation strength: expected a number from 0 to 1, got {strength}")
        self._source = source
        self._variation: NoiseSource | None = variation if strength > 0 else None
        self._strength = strength

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw (b, c, h, w), float32.

        Raises:
            InputError: the first shape is not (b, c, h, w), or h is less than 2.
        """
        noise = self._source.randn(shape)
        if self._variation is None:
            return noise
        if noise.ndim != 4 or noise.shape[2] < 2:
            raise InputError(
                f"noise: a variation is of latents (b, c, h, w) with h of 2 or more, got shape {noise.shape}"
            )
        other, self._variation = self._variation.randn(shape), None
        return slerp(self._strength, noise, other).astype(noise.dtype)


def slerp(strength: float, low: FloatArray, high: FloatArray) -> FloatArray:
    """Turn `low` towards `high`, as AUTOMATIC1111 does: column by column, each a vector of h values.

    Where the columns of a picture are nearly parallel (mean cosine above 0.9995) it blends linearly instead, with
    `low` and `high` in each other's place: strength 0 gives `high` there. So do we, for the same picture.

    Args:
        strength: from 0, `low`, to 1, `high`.
        low: (b, c, h, w).
        high: (b, c, h, w).
    """
    a, b = low.astype(np.float64), high.astype(np.float64)
    norms = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    cosine = np.clip((a * b).sum(axis=2) / norms, -1.0, 1.0)[:, :, None, :]  # (b, c, 1, w)
    omega = np.arccos(cosine)
    parallel = cosine.mean(axis=(1, 2, 3), keepdims=True) > 0.9995
    sine = np.where(parallel, 1.0, np.sin(omega))
    turned = np.sin((1 - strength) * omega) / sine * a + np.sin(strength * omega) / sine * b
    return np.asarray(np.where(parallel, a * strength + b * (1 - strength), turned))
