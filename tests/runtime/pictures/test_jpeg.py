"""A JPEG that lacks nothing but its last marker is read; one that lacks pixels is not."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentrt.errors import ImageError
from latentrt.pictures.images import load_image
from latentrt.pictures.jpeg import with_end


def jpeg(size: tuple[int, int] = (48, 40), mode: str = "RGB", **options: object) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def test_the_marker_alone_is_missing(data_file) -> None:
    path = data_file("cases/README.md").parent / "pictures/jpeg-without-eoi.jpg"
    with pytest.warns(
        UserWarning, match=r"without-eoi.jpg: lacks the marker that ends a JPEG; all its pixels"
    ):
        image = load_image(path)
    whole = Image.open(io.BytesIO(path.read_bytes() + b"\xff\xd9")).convert("RGB")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(whole))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("missing", [1, 2])
def test_every_kind_of_colours(tmp_path: Path, mode: str, missing: int) -> None:
    whole = jpeg(mode=mode)
    (tmp_path / "a.jpg").write_bytes(whole[:-missing])
    with pytest.warns(UserWarning, match="lacks the marker"):
        image = load_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(load_image(Image.open(io.BytesIO(whole)))))


WHOLE = jpeg()


@given(st.integers(2, len(WHOLE) - 3))
def test_where_pixels_are_missing_there_is_none(end: int) -> None:
    """Bits that only pad the last byte are no pixels: what is taken has every pixel of the whole."""
    taken = with_end(WHOLE[:end])
    if taken is not None:
        pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (taken, WHOLE)]
        np.testing.assert_array_equal(*pixels)


def test_of_a_progressive_file_a_scan_could_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(progressive=True)[:-2])
    with pytest.raises(ImageError, match="broken or cut off"):
        load_image(tmp_path / "a.jpg")


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert with_end(b"\xff\xd8" + data) is None
