"""A text in the lowest bits of a picture's pixels, where no service that strips texts finds it.

NovelAI writes one, and an extension of AUTOMATIC1111: column by column a signature, the length in bits, and the text or
gzip of it; in the alpha channel, or in the colours one after another.
"""

import json
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

# The channels that hold it, and the signatures of the plain text and of gzip.
_PLACES = (
    ("RGBA", "A", (b"stealth_pnginfo", b"stealth_pngcomp")),
    ("RGBA", "RGB", (b"stealth_rgbinfo", b"stealth_rgbcomp")),
    ("RGB", "RGB", (b"stealth_rgbinfo", b"stealth_rgbcomp")),
)
_SIGNATURE, _LENGTH = 15, 4  # bytes
_MOST = 1 << 24  # bytes; more is no text about a picture
_GZIP = 16 + zlib.MAX_WBITS


def texts_in_pixels(image: Image.Image) -> Iterator[tuple[str, str]]:
    """The texts by their keys: NovelAI's has several, as its files have; any other is `parameters`."""
    for mode, channels, signatures in _PLACES:
        if image.mode == mode and (text := _text(image, channels, signatures)):
            try:
                told = json.loads(text)
            except (ValueError, RecursionError):
                told = None
            if isinstance(told, dict) and isinstance(told.get("Comment"), str):
                yield from ((key, value) for key, value in told.items() if isinstance(value, str))
            else:
                yield "parameters", text
            return


def _text(image: Image.Image, channels: str, signatures: tuple[bytes, bytes]) -> str:
    """What the lowest bits of these channels say; empty where they say nothing."""
    head = _bytes(image, channels, 0, _SIGNATURE + _LENGTH)
    signature, count = head[:_SIGNATURE], int.from_bytes(head[_SIGNATURE:], "big")
    if signature not in signatures or count % 8 or not 0 < count // 8 <= _MOST:
        return ""
    body = _bytes(image, channels, len(head), count // 8)
    if len(body) < count // 8:
        return ""
    try:
        if signature == signatures[1]:
            unpacked = zlib.decompressobj(_GZIP)
            body = unpacked.decompress(body, _MOST)
            if not unpacked.eof:
                return ""
        return body.decode("utf-8")
    except (zlib.error, UnicodeError):
        return ""


def _bytes(image: Image.Image, channels: str, begin: int, count: int) -> bytes:
    """So many bytes from one on, of no more columns than they take; fewer where the picture ends."""
    each = image.height * len(channels)  # bits of a column
    columns = min(-(-8 * (begin + count) // each), image.width)
    pixels = np.asarray(image.crop((0, 0, columns, image.height)))
    levels: npt.NDArray[np.uint8] = pixels[:, :, [image.mode.index(channel) for channel in channels]]
    bits = (levels & 1).transpose(1, 0, 2).reshape(-1)[8 * begin : 8 * (begin + count)]
    return np.packbits(bits[: len(bits) // 8 * 8]).tobytes()
