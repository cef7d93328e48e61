"""AUTOMATIC1111's seed resize: about the picture of a seed, at another size."""

from collections.abc import Sequence

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, NoiseSource, check_shape


class SeedResize:
    """Noise in the middle of whose first array lies the first array of another size; what follows is as it would be.

    AUTOMATIC1111 draws the other size from a new generator of the seed, `SeedResize(PhiloxGenerator(seed),
    PhiloxGenerator(seed), size)` for each picture; a variation is blended there: the second is then a `Variation`.

    Args:
        source: of the picture's seed, which draws the whole.
        other: what draws the middle, once.
        size: the height and width of that, in latents: pixels // 8.

    Raises:
        InputError: a size that is not positive.
    """

    def __init__(self, source: NoiseSource, other: NoiseSource, size: tuple[int, int]) -> None:
        if min(check_shape(size)) <= 0:
            raise InputError(f"seed resize: expected a height and width of 1 latent or more, got {size}")
        self._source, self._size = source, size
        self._other: NoiseSource | None = other

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw (b, c, h, w).

        Raises:
            InputError: the first shape has not four sizes.
        """
        noise = self._source.randn(shape)
        if self._other is None:
            return noise
        if noise.ndim != 4:
            raise InputError(f"seed resize: expected latents (b, c, h, w), got shape {noise.shape}")
        other, self._other = self._other.randn((*noise.shape[:2], *self._size)), None
        rows, columns = (_middles(*sizes) for sizes in zip(noise.shape[2:], self._size, strict=True))
        noise[:, :, rows[0], columns[0]] = other[:, :, rows[1], columns[1]]
        return noise


def _middles(size: int, other: int) -> tuple[slice, slice]:
    """Where the two overlap when their middles lie on each other, in the one and in the other.

    Where the other is larger by an odd number, AUTOMATIC1111 leaves out one more at the end.
    """
    shift = (size - other) // 2
    if shift >= 0:
        return slice(shift, shift + other), slice(0, other)
    count = max(other + 2 * shift, 0)
    return slice(0, count), slice(-shift, count - shift)
