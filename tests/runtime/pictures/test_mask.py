"""Masks as people paint them: grounds that are nearly black, strokes on a transparent layer."""

import numpy as np
import pytest
from PIL import Image

from latentrt.errors import ImageError
from latentrt.painting.inpainting import crop_region
from latentrt.pictures.mask import NEAR, Mask, load_mask


def test_a_ground_that_is_nearly_black_is_black(data_file) -> None:
    masks = data_file("cases/README.md").parent / "masks"
    mask = Mask(load_mask(masks / "nb.png")).image  # whose black is 3 of 255
    np.testing.assert_array_equal(np.asarray(mask), np.asarray(load_mask(masks / "m.png")))
    assert crop_region(mask, 64, 64, 8) == (32, 32, 97, 97)


@pytest.mark.parametrize("make", [lambda levels: levels, lambda levels: 255 - levels])
def test_levels_near_black_and_white_are_those(make) -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    image = load_mask(make(levels))
    mask = np.asarray(Mask(image).image)[0]
    expected = np.where(levels <= NEAR, 0, np.where(levels >= 255 - NEAR, 255, levels))
    np.testing.assert_array_equal(mask, make(expected)[0])
    # Where a level says in how many steps it is painted, all count.
    np.testing.assert_array_equal(np.asarray(Mask(image, differential=True).image), make(levels))


def test_white_strokes_on_a_transparent_layer_are_ambiguous(data_file) -> None:
    masks = data_file("cases/README.md").parent / "masks"
    with pytest.raises(
        ImageError, match="over black to paint the strokes, or make the strokes black to paint the g"
    ):
        load_mask(masks / "mwhiteonclear.png")
    with Image.open(masks / "mwhiteonclear.png") as strokes:
        over_black = Image.alpha_composite(Image.new("RGBA", strokes.size, "black"), strokes)
        black = Image.composite(Image.new("RGBA", strokes.size, "black"), strokes, strokes.getchannel("A"))
    strokes_painted = np.asarray(load_mask(over_black))
    np.testing.assert_array_equal(strokes_painted, np.asarray(load_mask(masks / "m.png")))
    np.testing.assert_array_equal(np.asarray(load_mask(black)), 255 - strokes_painted)


def test_what_shows_more_than_white_is_no_layer_of_strokes() -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[0, 0] = (200, 30, 30, 255)
    pixels[2:, :, 3] = 0
    assert np.asarray(load_mask(Image.fromarray(pixels))).tolist() == [[0] * 4] * 2 + [[255] * 4] * 2
