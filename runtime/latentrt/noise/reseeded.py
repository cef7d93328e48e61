"""Noise of which only the first array is the seed's."""

from collections.abc import Sequence

from latentrt.noise.source import FloatArray, NoiseSource


class Reseeded:
    """The first array from one source, all that follow from another.

    ComfyUI's ancestral samplers make a new generator of the same seed, `Reseeded(TorchGenerator(seed),
    TorchGenerator(seed))`, so that what they add first is the noise they began with. AUTOMATIC1111's eta noise seed
    delta makes new generators of other seeds, `Reseeded(PhiloxGenerator(seed), PhiloxGenerator(seed + delta))` for
    each picture; a delta of 0 lets the first go on.

    Args:
        first: drawn from once.
        later: drawn from ever after.
    """

    def __init__(self, first: NoiseSource, later: NoiseSource) -> None:
        self._next, self._later = first, later

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw the next array of this shape."""
        source, self._next = self._next, self._later
        return source.randn(shape)
