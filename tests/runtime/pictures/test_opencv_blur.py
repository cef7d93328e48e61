"""The Gaussian of masks, held to OpenCV's own results (5.0), and to what a Gaussian is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from latentrt.pictures.opencv_blur import opencv_blur

LEVELS = [
    [0, 0, 0, 0, 255, 255, 255, 7, 0, 0, 90, 0],
    [0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 200, 255],
    [13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255],
    [255, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 2, 3, 250, 251, 252],
]
# The first row, of cv2.GaussianBlur(cv2.GaussianBlur(levels, (k, 1), sigma), (1, k), sigma).
BLURRED = {
    0.1: LEVELS[0],
    0.5: [0, 6, 48, 75, 228, 207, 181, 25, 1, 12, 95, 66],
    1.0: [16, 39, 92, 140, 157, 128, 79, 33, 15, 42, 97, 125],
    2.5: [54, 55, 58, 60, 59, 55, 50, 47, 49, 54, 60, 63],
    4.0: [50, 49, 51, 50, 51, 50, 50, 50, 52, 52, 54, 54],
    16.0: [53, 52, 52, 52, 51, 52, 52, 53, 52, 53, 51, 52],
}


@pytest.mark.parametrize("sigma", BLURRED)
def test_opencvs_levels(sigma: float) -> None:
    blurred = opencv_blur(Image.fromarray(np.array(LEVELS, np.uint8)), sigma)
    assert np.asarray(blurred)[0].tolist() == BLURRED[sigma]


@given(st.integers(0, 255), st.floats(0.05, 500), st.integers(1, 9), st.integers(1, 9))
def test_one_level_stays(level: int, sigma: float, width: int, height: int) -> None:
    flat = Image.new("L", (width, height), level)
    assert opencv_blur(flat, sigma).getextrema() == (level, level)


@given(arrays(np.uint8, (7, 40)), st.floats(0.5, 6))
def test_near_the_gaussian_that_is_not_rounded(levels: np.ndarray, sigma: float) -> None:
    radius = int(2.5 * sigma + 0.5)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    exact = levels.astype(float)
    for axis in (1, 0):
        padded = np.pad(
            exact, [(radius, radius) if axis == one else (0, 0) for one in (0, 1)], mode="reflect"
        )
        exact = np.apply_along_axis(np.convolve, axis, padded, weights, "valid")
    # Weights are rounded to 1/256, each with the error of those before it, and levels twice.
    allowed = 2 * (0.5 + 255 * (2 * radius + 1) / 512)
    blurred = np.asarray(opencv_blur(Image.fromarray(levels), sigma)).astype(float)
    assert np.abs(blurred - exact).max() <= allowed
