"""A text is found wherever a program may have put it, in whichever encoding."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from latentrt.pictures.exif import texts_of_exif
from latentrt.pictures.images import encode_image, read_parameters, read_texts
from latentrt.pictures.xmp import texts_of_xmp

TEXT = "ein großes Herz ♥, 心\nSteps: 4, Sampler: Euler a, CFG scale: 2, Seed: 7, Size: 128x128"
GREY = Image.new("RGB", (8, 8), "grey")
XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmp:CreatorTool="Draw Things"><exif:UserComment><rdf:Alt><rdf:li '
    'xml:lang="x-default">{"c":"a cat"}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pngs_texts(tmp_path: Path, chunk: str, mark: str) -> None:
    info = PngInfo()
    if chunk == "iTXt":
        info.add_itxt("parameters", mark + TEXT)
    else:  # as stb_image_write does, against the standard
        info.add_text("parameters", (mark + TEXT).encode().decode("latin-1"), zip=chunk == "zTXt")
    GREY.save(tmp_path / "a.png", pnginfo=info)
    (found,) = read_texts(tmp_path / "a.png")
    assert (found.where, found.text) == ("PNG text parameters", TEXT)
    assert read_parameters(tmp_path / "a.png") == TEXT


@pytest.mark.parametrize("text", ["großes", "Ã¶", "a\ufeffb", "♥"])
def test_what_is_latin_1_and_utf8_too_is_written_so_that_it_is_read(tmp_path: Path, text: str) -> None:
    for suffix, name in (("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")):
        (tmp_path / f"a.{suffix}").write_bytes(encode_image(GREY, name, text))
        assert read_parameters(tmp_path / f"a.{suffix}") == text
    info = PngInfo()
    info.add_text("parameters", "großes")
    GREY.save(tmp_path / "latin1.png", pnginfo=info)
    assert read_parameters(tmp_path / "latin1.png") == "großes"


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
@pytest.mark.parametrize(
    "value",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16"),
        b"UNICODE\0\xfe\xff" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode(),
        b"ASCII\0\0\0" + TEXT.encode(),
        bytes(8) + TEXT.encode(),
        TEXT.encode() + b"\0",
        b"\xef\xbb\xbf" + TEXT.encode(),
    ],
)
@pytest.mark.parametrize("inner", [True, False])
def test_exifs_comment_in_either_directory(tmp_path: Path, suffix: str, value: bytes, inner: bool) -> None:
    exif = Image.Exif()
    (exif.get_ifd(0x8769) if inner else exif)[0x9286] = value
    GREY.save(tmp_path / f"a.{suffix}", exif=exif.tobytes())
    assert [(found.where, found.text) for found in read_texts(tmp_path / f"a.{suffix}")] == [
        ("EXIF UserComment", TEXT)
    ]
    assert read_parameters(tmp_path / f"a.{suffix}") == TEXT


def test_exifs_other_tags(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0131], exif[0x9C9C] = "a description", "Some program 1", "a note".encode("utf-16-le")
    GREY.save(tmp_path / "a.jpg", exif=exif)
    assert {found.key: found.text for found in read_texts(tmp_path / "a.jpg")} == {
        "ImageDescription": "a description",
        "Software": "Some program 1",
        "XPComment": "a note",
    }


@pytest.mark.parametrize("suffix", ["jpg", "gif"])
def test_comments(tmp_path: Path, suffix: str) -> None:
    GREY.save(tmp_path / f"a.{suffix}", comment=TEXT.encode())
    assert [(found.where, found.text) for found in read_texts(tmp_path / f"a.{suffix}")] == [
        ("comment", TEXT)
    ]
    assert read_parameters(tmp_path / f"a.{suffix}") == TEXT


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
def test_xmp(tmp_path: Path, suffix: str) -> None:
    if suffix == "png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        GREY.save(tmp_path / "a.png", pnginfo=info)
    else:
        GREY.save(tmp_path / f"a.{suffix}", xmp=XMP.encode())
    found = [(found.place, found.key, found.text) for found in read_texts(tmp_path / f"a.{suffix}")]
    assert sorted(found) == [("XMP", "CreatorTool", "Draw Things"), ("XMP", "UserComment", '{"c":"a cat"}')]


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x><description>&b;</description></x>'
    assert list(texts_of_xmp(bomb.encode())) == []
    assert list(texts_of_xmp(bomb.encode("utf-16"))) == []


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    for cut in (data, XMP.encode()[: len(data) * 3] + data):
        list(texts_of_xmp(cut))
    exif = Image.Exif()
    exif[0x9286] = data
    list(texts_of_exif(exif))


def hidden(signature: str, body: bytes, channels: str = "A", size: int = 64) -> Image.Image:
    """A picture with this in the lowest bits of its pixels, column by column."""
    data = signature.encode() + (8 * len(body)).to_bytes(4, "big") + body
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    levels = np.full((size, size, len(channels)), 254, np.uint8)  # columns first
    levels.reshape(-1)[: len(bits)] += bits
    picture = Image.fromarray(levels.transpose(1, 0, 2).squeeze())
    if channels == "RGB":
        return picture
    made = Image.new("RGBA", (size, size), "grey")
    made.putalpha(picture)
    return made


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize(
    ("signature", "channels"),
    [
        ("stealth_pnginfo", "A"),
        ("stealth_pngcomp", "A"),
        ("stealth_rgbinfo", "RGB"),
        ("stealth_rgbcomp", "RGB"),
    ],
)
def test_what_is_hidden_in_the_pixels(tmp_path: Path, suffix: str, signature: str, channels: str) -> None:
    body = TEXT.encode()
    picture = hidden(signature, gzip.compress(body) if "comp" in signature else body, channels)
    picture.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    assert [(found.where, found.text) for found in read_texts(tmp_path / f"a.{suffix}")] == [
        ("pixels parameters", TEXT)
    ]
    assert read_parameters(tmp_path / f"a.{suffix}") == TEXT


def test_novelais_texts_are_hidden_together_and_told_once(tmp_path: Path) -> None:
    texts = {"Description": "a cat", "Software": "NovelAI", "Comment": '{"steps": 28}'}
    picture = hidden("stealth_pngcomp", gzip.compress(json.dumps(texts).encode()))
    picture.save(tmp_path / "a.png")
    assert {found.key: found.text for found in read_texts(tmp_path / "a.png")} == texts
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    picture.save(tmp_path / "a.png", pnginfo=info)
    assert {found.place for found in read_texts(tmp_path / "a.png")} == {"PNG text"}


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("stealth_pngcomp", b"no gzip"),
        ("stealth_pngcomp", gzip.compress(b"a cat" * 99, mtime=0)[:20]),
        ("stealth_pnginfo", b"\xff\xff"),
        ("stealth_pnginfo", b""),
        ("stealth_other__", b"a cat"),
    ],
)
def test_what_is_hidden_and_makes_no_sense_is_none(tmp_path: Path, signature: str, body: bytes) -> None:
    hidden(signature, body).save(tmp_path / "a.png")
    assert read_texts(tmp_path / "a.png") == ()
    hidden(signature, body).crop((0, 0, 2, 64)).save(tmp_path / "a.png")  # and cut off
    assert read_texts(tmp_path / "a.png") == ()


def test_of_the_cases_every_text_is_found(data_file) -> None:
    for path in sorted((data_file("cases/README.md").parent / "metadata").iterdir()):
        text = read_parameters(path)
        assert text is not None, path
        assert "\ufeff" not in text
        assert text.startswith(("a large red heart", "ein großes Herz ♥\n", "{")), path
