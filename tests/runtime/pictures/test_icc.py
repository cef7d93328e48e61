"""Colours of other profiles come out as sRGB's; those of sRGB stay what they are."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from latentrt.pictures.icc import TOLERANCE
from latentrt.pictures.images import load_image


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def test_display_p3_becomes_srgb(data_file) -> None:
    """(60, 200, 60) in Display P3 is (0, 203, 11) in sRGB."""
    image = load_image(data_file("cases/README.md").parent / "pictures/p3.png")
    assert np.asarray(image).reshape(-1, 3).tolist() == [[0, 203, 11]] * (16 * 16)
    assert "icc_profile" not in image.info  # or it would be written into what is painted over it


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "CMYK"])
def test_srgb_and_profiles_of_other_colours_change_nothing(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).convert(mode)
    plain, tagged = tmp_path / "a.tif", tmp_path / "b.tif"
    image.save(plain)
    image.save(tagged, icc_profile=profile("sRGB"))
    np.testing.assert_array_equal(np.asarray(load_image(tagged)), np.asarray(load_image(plain)))


@pytest.mark.parametrize("junk", [b"", b"\0" * 200, profile("LAB"), profile("sRGB")[:300]])
def test_a_profile_that_cannot_be_used_is_passed_over(tmp_path: Path, junk: bytes) -> None:
    Image.new("RGB", (2, 2), (60, 200, 60)).save(tmp_path / "a.png", icc_profile=junk)
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (60, 200, 60)


def test_transparency_outlives_the_profile(data_file, tmp_path: Path) -> None:
    with Image.open(data_file("cases/README.md").parent / "pictures/p3.png") as picture:
        tag = picture.info["icc_profile"]
    image = Image.new("RGBA", (2, 1), (60, 200, 60, 255))
    image.putpixel((1, 0), (60, 200, 60, 0))
    image.save(tmp_path / "a.png", icc_profile=tag)
    assert np.asarray(load_image(tmp_path / "a.png")).tolist() == [[[0, 203, 11], [255, 255, 255]]]


def test_a_grey_profile_is_heeded(tmp_path: Path) -> None:
    """Linear grey: half the light is level 188 of sRGB."""
    made = grey_profile(gamma=1.0)
    Image.new("L", (2, 2), 128).save(tmp_path / "a.png", icc_profile=made)
    red, green, blue = load_image(tmp_path / "a.png").getpixel((0, 0))  # type: ignore[misc]
    assert red == green == blue
    assert abs(red - 188) <= TOLERANCE


def grey_profile(gamma: float) -> bytes:
    """ICC.1:2001, a monochrome display: white point and one curve."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    white = b"XYZ " + bytes(4) + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249))
    text = b"grey\0"
    name = b"desc" + bytes(4) + len(text).to_bytes(4, "big") + text + bytes(4 + 4 + 2 + 1 + 67)
    name += bytes(-len(name) % 4)
    tags, table, body = [(b"desc", name), (b"wtpt", white), (b"kTRC", curve)], b"", b""
    for sign, data in tags:
        at = 128 + 4 + 12 * len(tags) + len(body)
        table += sign + at.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    size = 128 + 4 + len(table) + len(body)
    header = io.BytesIO(bytes(128)).getbuffer()
    parts = {0: size.to_bytes(4, "big"), 8: b"\x02\x10\0\0", 12: b"mntrGRAYXYZ ", 36: b"acsp"}
    parts[68] = b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249))
    for at, data in parts.items():
        header[at : at + len(data)] = data
    return bytes(header) + len(tags).to_bytes(4, "big") + table + body
