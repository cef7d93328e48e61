"""A JPEG whose last marker is missing (ITU-T T.81, annex B)."""

import io
import warnings

from PIL import Image

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = (0xC0, 0xC1)  # baseline and extended sequential
_SCAN = 0xDA
# Bits that would be pixels if pixels were missing.
_FILLER = b"\x5a\xa5\x33\xcc" * 64


def with_end(data: bytes) -> bytes | None:
    """The file with its last marker, where that is all that it lacks; None where pixels are missing, or may be.

    All pixels are there where what is put behind them changes none. That tells of one scan that holds all components
    alone: what a progressive file lacks could be a whole scan, and is not looked for.
    """
    scan = _only_scan(data)
    if scan is None or _END in data[scan:]:
        return None
    cut = data.removesuffix(b"\xff")  # of the marker, a half
    ends = [cut + _END, cut + _FILLER + _END]
    try:
        with warnings.catch_warnings(action="ignore"):
            pixels = [Image.open(io.BytesIO(whole), formats=["JPEG"]).tobytes() for whole in ends]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return ends[0] if pixels[0] == pixels[1] else None


def _only_scan(data: bytes) -> int | None:
    """Where the pixels begin of a sequential file whose first scan holds all components; None of any other."""
    if not data.startswith(_BEGIN):
        return None
    at, components = 2, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _FRAMES and at + 9 < len(data):
            components = data[at + 9]
        if kind == _SCAN:
            return at + 2 + length if components and data[at + 4 : at + 5] == bytes([components]) else None
        at += 2 + length
    return None
