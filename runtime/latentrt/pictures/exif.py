"""Texts in EXIF, which JPEG and WebP files have in place of PNG's texts."""

import contextlib
import struct
from collections.abc import Iterator

from PIL import Image

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_UNICODE, _ASCII, _JIS = b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0"
_BYTE_ORDER_MARK = "\ufeff"

# Tags of the first directory that programs put texts into, the comment first. Fooocus puts that one there, too, and
# ComfyUI has its workflow under the maker and the model of a camera.
_TAGS = {
    _USER_COMMENT: "UserComment",
    0x010E: "ImageDescription",
    0x9C9C: "XPComment",
    0x927C: "MakerNote",
    0x0131: "Software",
    0x010F: "Make",
    0x0110: "Model",
}
_XP_COMMENT = 0x9C9C  # Windows' own, in UTF-16


def exif_of(text: str) -> bytes:
    """EXIF with a UserComment alone, in big-endian UTF-16.

    By hand: Pillow gives that tag the type BYTE, where EXIF 2.32 §4.6.5 wants UNDEFINED and others look for that.
    """
    comment = _UNICODE + text.encode("utf-16-be", errors="replace")
    header = b"Exif\0\0" + struct.pack(">2sHI", b"MM", 42, 8)
    ifd = struct.pack(">HHHIII", 1, _EXIF_IFD, 4, 1, 26, 0)  # one entry, LONG: the offset of the next
    return header + ifd + struct.pack(">HHHIII", 1, _USER_COMMENT, 7, len(comment), 44, 0) + comment


def texts_of_exif(exif: Image.Exif) -> Iterator[tuple[str, str]]:
    """The texts by the names of their tags, the comment first; those that are empty are left out."""
    inner = _decoded(exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT))
    if inner:
        yield "UserComment", inner
    for tag, name in _TAGS.items():
        value = exif.get(tag)
        if tag == _XP_COMMENT and isinstance(value, bytes):
            value = _UNICODE + value
        text = _decoded(value)
        if text and (name, text) != ("UserComment", inner):
            yield name, text


def utf8_again(text: str) -> str:
    """What was taken for Latin-1, as UTF-8 where it is that; without a byte order mark.

    PNG says that its plain texts are Latin-1, and EXIF that its are ASCII; many programs write UTF-8 all the same. Text
    in Latin-1 that is valid UTF-8 as well, and says something else in it, does not occur in words.
    """
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return text.removeprefix(_BYTE_ORDER_MARK)


def _decoded(value: object) -> str:
    """A tag's text, in whichever encoding it says; empty where it is none."""
    if isinstance(value, str):  # of the type ASCII, which Pillow reads as Latin-1
        return utf8_again(value).strip("\0")
    if not isinstance(value, bytes):
        return ""
    if value.startswith(_UNICODE):
        return _utf16(value[len(_UNICODE) :])
    encoding = "iso2022_jp" if value.startswith(_JIS) else "utf-8"
    body = value.removeprefix(_JIS).removeprefix(_ASCII).removeprefix(bytes(8))
    return body.decode(encoding, errors="replace").removeprefix(_BYTE_ORDER_MARK).strip("\0")


def _utf16(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", errors="replace").strip("\0")
    # EXIF leaves the byte order open. Spaces and the latin letters of the keys tell: their upper byte is 0.
    little, big = body[1::2].count(0), body[::2].count(0)
    if (
        not little and not big and b": " in body
    ):  # a text with keys in UTF-8, which some write under this name
        try:
            return body.decode("utf-8")
        except UnicodeError:
            pass
    return body.decode("utf-16-le" if little > big else "utf-16-be", errors="replace").strip("\0")
