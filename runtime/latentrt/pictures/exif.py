"""A text in EXIF's UserComment, which JPEG and WebP files have in place of PNG's texts."""

import struct

from PIL import Image

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"


def exif_of(text: str) -> bytes:
    """EXIF with a UserComment alone, in big-endian UTF-16.

    By hand: Pillow gives that tag the type BYTE, where EXIF 2.32 §4.6.5 wants UNDEFINED and others look for that.
    """
    comment = _UNICODE + text.encode("utf-16-be", errors="replace")
    header = b"Exif\0\0" + struct.pack(">2sHI", b"MM", 42, 8)
    ifd = struct.pack(">HHHIII", 1, _EXIF_IFD, 4, 1, 26, 0)  # one entry, LONG: the offset of the next
    return header + ifd + struct.pack(">HHHIII", 1, _USER_COMMENT, 7, len(comment), 44, 0) + comment


def comment_of(exif: Image.Exif) -> str | None:
    """The UserComment, in whichever encoding it says; None where there is none."""
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if not isinstance(comment, bytes):
        return None
    if comment.startswith(_UNICODE):
        body = comment[len(_UNICODE) :]
        # EXIF leaves the byte order open. Spaces and the latin letters of the keys tell: their upper byte is 0.
        little = body[1::2].count(0) > body[::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", errors="replace") or None
    return comment.removeprefix(_ASCII).decode("utf-8", errors="replace").strip("\0") or None
