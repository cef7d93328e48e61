"""The moments of a whole picture, from those of its tiles."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.networks.norms import MEAN, SQUARE, VARIANCE

Array = npt.NDArray[Any]


def combine(told: Iterable[Mapping[str, Array]], shares: Sequence[float]) -> dict[str, Array]:
    """What a graph whose norms are given their moments wants of a picture.

    Args:
        told: what the graph whose norms tell theirs gave for each tile.
        shares: how much of the picture each tile stands for; they add up to 1.
    """
    sums: dict[str, Array] = {}
    for outputs, share in zip(told, shares, strict=True):
        for name, value in outputs.items():
            sums[name] = sums.get(name, 0) + share * value.astype(np.float64)
    feeds = {}
    for name, mean in sums.items():
        if name.endswith(MEAN):
            norm = name.removesuffix(MEAN)
            feeds[name] = mean
            feeds[norm + VARIANCE] = np.maximum(sums[norm + SQUARE] - mean**2, 0)
    return feeds
