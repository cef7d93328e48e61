"""ComfyUI's batch index: the noise of single pictures of a batch."""

from collections.abc import Sequence

import numpy as np

from latentrt.errors import InputError
from latentrt.noise.source import FloatArray, NoiseSource, check_shape


class FromBatch:
    """Noise whose first array is that of places in a batch which is drawn picture by picture; what follows goes on.

    Args:
        source: of the batch's seed.
        places: of each picture, counted from 0; one may come again.

    Raises:
        InputError: there are no places, or one is negative.
    """

    def __init__(self, source: NoiseSource, places: Sequence[int]) -> None:
        if not places or min(places) < 0:
            raise InputError(f"batch index: expected places of 0 or more, got {list(places)}")
        self._source = source
        self._places: Sequence[int] | None = places

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw (b, …).

        Raises:
            InputError: the first batch is not as many as the places.
        """
        if self._places is None:
            return self._source.randn(shape)
        batch, *rest = check_shape(shape)
        places, self._places = self._places, None
        if batch != len(places):
            raise InputError(f"batch index: {len(places)} places for a batch of {batch}; expected one each")
        wanted, drawn = set(places), {}
        for place in range(max(places) + 1):
            noise = self._source.randn((1, *rest))
            if place in wanted:
                drawn[place] = noise
        return np.concatenate([drawn[place] for place in places])
