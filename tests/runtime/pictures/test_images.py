"""Pictures of every kind come in right or are refused with the reason; what is written carries its metadata."""

import contextlib
import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, JpegImagePlugin

from latentrt.errors import ImageError, InputError, NumericsError
from latentrt.pictures import images
from latentrt.pictures.images import (
    check_writable,
    load_image,
    read_parameters,
    resize_to,
    save_image,
    to_array,
    to_images,
)


def rgb(source: Path | Image.Image | np.ndarray) -> list[list[list[int]]]:
    image = load_image(source)
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG made by hand, for kinds that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_plain_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (10, 200, 30))
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert rgb(path) == [[[255, 0, 0], [10, 200, 30]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    """A picture stored in each of the eight ways comes in as the same upright picture."""
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(load_image(tmp_path / "a.png"))[:, :, 0], upright)


def test_alpha_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 0, 51)):
        image.putpixel((x, 0), (100, 0, 200, alpha))
    image.save(tmp_path / "a.png")
    assert rgb(tmp_path / "a.png") == [[[100, 0, 200], [255, 255, 255], [224, 204, 244]]]  # 51 is a fifth
    Image.merge("LA", [Image.new("L", (1, 1), 100), Image.new("L", (1, 1), 51)]).save(tmp_path / "b.png")
    assert rgb(tmp_path / "b.png") == [[[224, 224, 224]]]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert rgb(tmp_path / "a.png") == [[[10, 20, 30], [200, 100, 50]]]
    image.save(tmp_path / "b.png", transparency=1)
    assert rgb(tmp_path / "b.png") == [[[10, 20, 30], [255, 255, 255]]]
    image.save(tmp_path / "c.gif", transparency=0)
    assert rgb(tmp_path / "c.gif") == [[[255, 255, 255], [200, 100, 50]]]


def test_one_colour_that_is_transparent(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert rgb(tmp_path / "a.png") == [[[255, 255, 255]]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = [0, 257, 32768, 65535, 514]
    expected = [0, 1, 128, 255, 2]
    Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "b.tiff")
    clear = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 514)
    clear += struct.pack(">I", zlib.crc32(clear[4:]))
    (tmp_path / "c.png").write_bytes(png(5, 1, 16, 0, b"\0" + struct.pack(">5H", *values), clear))
    (tmp_path / "d.pgm").write_bytes(b"P5 5 1 65535\n" + struct.pack(">5H", *values))
    for name in ("a.png", "b.tiff", "d.pgm"):
        assert rgb(tmp_path / name) == [[[v, v, v] for v in expected]], name
    assert rgb(tmp_path / "c.png") == [[[v, v, v] for v in [*expected[:4], 255]]]


def test_sixteen_bit_colours(tmp_path: Path) -> None:
    values = [0x0101, 0x8080, 0xFFFF]
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">3H", *values)))
    assert rgb(tmp_path / "a.png") == [[[1, 128, 255]]]
    half = struct.pack(">4H", *values, 0x3333)  # a fifth
    (tmp_path / "b.png").write_bytes(png(1, 1, 16, 6, b"\0" + half))
    assert rgb(tmp_path / "b.png") == [[[204, 230, 255]]]


def test_grey_one_bit_float_and_cmyk(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 77).save(tmp_path / "a.png")
    assert rgb(tmp_path / "a.png") == [[[77, 77, 77]]]
    Image.new("1", (1, 1), 1).save(tmp_path / "b.png")
    assert rgb(tmp_path / "b.png") == [[[255, 255, 255]]]
    Image.fromarray(np.full((1, 1), 0.2, np.float32)).save(tmp_path / "c.tiff")
    assert rgb(tmp_path / "c.tiff") == [[[51, 51, 51]]]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "d.jpg", quality=100)
    assert np.abs(np.asarray(load_image(tmp_path / "d.jpg")).astype(int) - [255, 0, 0]).max() <= 2
    junk = Image.new("CMYK", (1, 1), (0, 0, 0, 255))
    junk.save(tmp_path / "e.tiff", icc_profile=b"no profile at all")
    assert rgb(tmp_path / "e.tiff") == [[[0, 0, 0]]]
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # of RGB, on a CMYK picture
    junk.save(tmp_path / "f.tiff", icc_profile=wrong)
    assert rgb(tmp_path / "f.tiff") == [[[0, 0, 0]]]


def test_integers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 1), 70000, np.int32)).save(tmp_path / "a.tiff")
    with pytest.raises(ImageError, match=r"a\.tiff: expected 16-bit values, got 70000"):
        load_image(tmp_path / "a.tiff")


def test_animated_and_many_pages_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (n * 80, 0, 0)) for n in range(3)]
    for name in ("a.gif", "a.png", "a.webp", "a.tiff"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match="has 3 frames or pages, expected a single picture"):
            load_image(tmp_path / name)
    frames[1].save(tmp_path / "a.mpo", save_all=True, append_images=frames[2:])
    assert abs(load_image(tmp_path / "a.mpo").getpixel((0, 0))[0] - 80) <= 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_truncated_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) // 4, 40):
        path.write_bytes(data[:size])
        with pytest.raises(ImageError, match=str(path)):
            load_image(path)


def test_giant_is_refused_undecoded(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for side in (9000, 60000):
        (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
        with pytest.raises(ImageError, match="pixels"):
            load_image(tmp_path / "a.png")
    assert not recwarn.list
    with pytest.raises(ImageError, match="9000×9000 is too large"):
        load_image(Image.new("1", (9000, 9000)))


def test_of_tags_that_make_no_sense_nothing_is_said(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "a.tiff"
    Image.new("RGB", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, len(data))  # a second page behind the first
    data += struct.pack("<HHHIII", 1, 0x010E, 2, 1_000_000, 8, 0)  # with a text longer than the file
    path.write_bytes(data)
    with pytest.raises(ImageError, match="broken or cut off"):
        load_image(path)
    assert not recwarn.list


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "d.png").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        with pytest.raises(ImageError, match="not a picture that can be read here"):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path / "d.png")
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / "e.png")


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_file_is_a_picture_or_an_image_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"]))
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).save(buffer, kind)
    body = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(body)
    with contextlib.suppress(ImageError):
        assert load_image(path).mode == "RGB"


def test_arrays() -> None:
    grey = np.array([[0, 128]], np.uint8)
    assert rgb(grey) == rgb(grey[:, :, None]) == [[[0, 0, 0], [128, 128, 128]]]
    assert rgb(np.array([[[0, 0.5, 1]]])) == [[[0, 128, 255]]]
    assert rgb(np.array([[[0, 257, 65535]]], np.uint16)) == [[[0, 1, 255]]]
    assert rgb(np.array([[[0, 0, 0, 51]]], np.uint8)) == [[[204, 204, 204]]]
    for bad in (
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 2), np.uint8),
        np.zeros(3, np.uint8),
        np.full((1, 1), 1.5),
        np.full((1, 1), np.nan),
        np.zeros((1, 1), np.int64),
    ):
        with pytest.raises(InputError, match="image: "):
            load_image(bad)


def test_to_array_and_back() -> None:
    values = np.arange(256 * 3, dtype=np.uint8).reshape(1, 256, 3)
    pixels = to_array(Image.fromarray(values))
    assert (pixels.shape, pixels.dtype) == ((1, 3, 1, 256), np.float32)
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert np.array_equal(np.asarray(to_images(pixels)[0]), values)


def test_pixels_are_clipped_and_rounded() -> None:
    levels = np.array([-9, -1, -0.5, 0.0, 0.5, 1, 9], np.float32)  # 63.75, 127.5 and 191.25 before rounding
    pixels = np.broadcast_to(levels, (2, 3, 1, 7))
    pictures = to_images(pixels)
    assert len(pictures) == 2
    assert np.asarray(pictures[1])[0, :, 0].tolist() == [0, 0, 64, 128, 191, 255, 255]
    for bad in (np.zeros((3, 4, 4), np.float32), np.zeros((1, 4, 4, 3), np.float32)):
        with pytest.raises(InputError, match="expected"):
            to_images(bad)
    with pytest.raises(NumericsError):
        to_images(np.full((1, 3, 1, 1), np.nan, np.float32))


def test_resize_is_lanczos() -> None:
    image = Image.radial_gradient("L").convert("RGB")
    assert resize_to(image, 256, 256) is image
    expected = image.resize((64, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(resize_to(image, 64, 32)), np.asarray(expected))


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".webp"])
@pytest.mark.parametrize("text", ["a cat\nSteps: 3, Seed: 1", "Käse, 猫 \U0001f600\nSteps: 3", "", None])
def test_parameters_travel_in_the_file(tmp_path: Path, suffix: str, text: str | None) -> None:
    path = tmp_path / f"a{suffix}"
    save_image(Image.new("RGB", (8, 8), (50, 100, 150)), path, text)
    if suffix.lower() == ".png" and text == "":
        assert read_parameters(path) == ""
    else:
        assert read_parameters(path) == (text or None)
    assert np.abs(np.asarray(load_image(path)).astype(int) - [50, 100, 150]).max() <= 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_exif_comment_is_laid_out_as_automatic1111_writes_it(tmp_path: Path) -> None:
    save_image(Image.new("RGB", (8, 8)), tmp_path / "a.jpg", "hé")
    data = (tmp_path / "a.jpg").read_bytes()
    assert b"UNICODE\0\0h\0\xe9" in data
    entry = data.index(struct.pack(">HHI", 0x9286, 7, 12))  # tag UserComment, type UNDEFINED, 12 bytes
    offset = struct.unpack_from(">I", data, entry + 8)[0]
    assert data[data.index(b"MM\0*") + offset :].startswith(b"UNICODE\0\0h")


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"UNICODE\0" + "a cat\nSteps: 2".encode("utf-16-le"), "a cat\nSteps: 2"),
        (b"ASCII\0\0\0a cat", "a cat"),
        (b"\0" * 8, None),
        (b"", None),
    ],
)
def test_comments_of_other_programs(tmp_path: Path, comment: bytes, text: str | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_parameters(tmp_path / "a.jpg") == text


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    for name in ("a.xyz", "a", "a.gif"):
        with pytest.raises(InputError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
            save_image(Image.new("RGB", (8, 8)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_text_too_long_for_a_jpeg_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long for a JPEG"):
        save_image(Image.new("RGB", (8, 8)), tmp_path / "a.jpg", "x" * 40_000)
    save_image(Image.new("RGB", (8, 8)), tmp_path / "a.webp", "x" * 40_000)
    assert read_parameters(tmp_path / "a.webp") == "x" * 40_000


def test_what_a_format_cannot_hold_is_said_before_and_after(tmp_path: Path) -> None:
    for suffix, size in (("webp", (16_384, 1)), ("jpg", (1, 65_501))):
        with pytest.raises(InputError, match=rf"a\.{suffix}: .* is too large for a .*; write \.png"):
            save_image(Image.new("RGB", size), tmp_path / f"a.{suffix}")
    check_writable("PNG", (100_000, 8), "x" * 100_000)
    check_writable("WEBP", (16_383, 16_383), "x" * 100_000)
    check_writable("JPEG", (65_500, 8), "x" * 29_000)
    with pytest.raises(InputError, match="prompts are too long for a JPEG"):
        check_writable("JPEG", None, "x" * 31_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_folders_name_that_is_no_text_loses_no_picture(tmp_path: Path, suffix: str) -> None:
    save_image(Image.new("RGB", (8, 8)), tmp_path / f"a.{suffix}", "猫, Model: m\udcff")
    assert read_parameters(tmp_path / f"a.{suffix}") == "猫, Model: m?"


@pytest.mark.parametrize("error", [ValueError("no"), OSError("no"), OSError(5, "no")])
def test_an_encoder_that_fails_names_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ImageError, match=r"a\.webp: cannot be written as WEBP: .*no"):
        save_image(Image.new("RGB", (8, 8)), tmp_path / "a.webp")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_names_the_path_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.png'"):
        save_image(Image.new("RGB", (8, 8)), path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


def test_the_pixel_limit_is_64_mega() -> None:
    assert images.MAX_PIXELS == 2**26


def test_lossy_files_are_of_quality_95_and_jpeg_keeps_all_colours(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    save_image(Image.fromarray(pixels), tmp_path / "a.jpg", "text")
    Image.fromarray(pixels).save(tmp_path / "b.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as ours, Image.open(tmp_path / "b.jpg") as wanted:
        assert ours.quantization == wanted.quantization
        assert JpegImagePlugin.get_sampling(ours) == 0  # 4:4:4
    save_image(Image.fromarray(pixels), tmp_path / "a.webp")
    Image.fromarray(pixels).save(tmp_path / "b.webp", quality=95)
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="no file modes here")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        save_image(Image.new("RGB", (8, 8)), tmp_path / "a.png")
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == mode
