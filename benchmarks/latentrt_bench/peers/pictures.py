"""How far two pictures are apart."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

LEVELS = 255


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """A picture as uint8 (h, w, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def difference(picture: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]) -> dict[str, float | None]:
    """Largest and mean difference in grey levels of 255, over all pixels and channels, and the PSNR in dB.

    The PSNR of equal pictures is infinite, and given as None.

    Raises:
        ValueError: they have different sizes.
    """
    if picture.shape != reference.shape:
        raise ValueError(f"expected a picture of {reference.shape}, got one of {picture.shape}")
    levels = np.abs(picture.astype(np.int64) - reference)
    mean_square = float(np.mean(levels**2))
    return {
        "max": int(levels.max()),
        "mean": float(levels.mean()),
        "psnr_db": None if mean_square == 0 else 10 * math.log10(LEVELS**2 / mean_square),
    }
