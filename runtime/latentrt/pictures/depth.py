"""Arrays and deep greys as pictures of 8 bits: values are scaled, never clipped."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentrt.errors import ImageError, InputError


def from_array(array: NDArray[np.generic]) -> Image.Image:
    """A picture of an array; see `latentrt.pictures.images.load_image`.

    Raises:
        InputError: another shape, dtype or range.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise InputError(f"image: expected (h, w), (h, w, 3) or (h, w, 4), got {array.shape}")
    if array.dtype == np.uint16:
        array = _scale(array, 65535)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN
            raise InputError(f"image: floats are expected in [0, 1], got {array.min()} to {array.max()}")
        array = _scale(array, 1)
    elif array.dtype != np.uint8:
        raise InputError(f"image: expected uint8, uint16 or floats, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _scale(array: NDArray[np.generic], maximum: float) -> NDArray[np.uint8]:
    return (array.astype(np.float64) * (255 / maximum)).round().astype(np.uint8)


def from_deep_grey(image: Image.Image, name: str) -> Image.Image:
    """16-bit integers (modes I;16 and I) and floats in [0, 1] (mode F) as 8-bit grey, with alpha if a grey is clear.

    Raises:
        ImageError: values out of that range.
    """
    values = np.asarray(image)
    maximum = 1 if image.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= maximum):
        kind = "floats in [0, 1]" if image.mode == "F" else "16-bit values"
        raise ImageError(f"{name}: expected {kind}, got {values.min()} to {values.max()}")
    grey = Image.fromarray(_scale(values, maximum))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
