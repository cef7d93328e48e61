"""Every text that a picture's file carries, wherever programs put it."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import iTXt

from latentrt.pictures.exif import texts_of_exif, utf8_again
from latentrt.pictures.hidden import texts_in_pixels
from latentrt.pictures.xmp import texts_of_xmp

# Under which keys programs say how a picture was made, in one text; the comment of a JPEG or GIF has none.
PARAMETERS = ("parameters", "UserComment", "ImageDescription", "XPComment", "", "description")
_XMP_KEY = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Found:
    """A text in a file.

    Attributes:
        place: "PNG text", "EXIF", "comment", "XMP" or "pixels"; empty where it comes from no file.
        key: under which it stands there.
        text: what it says.
    """

    place: str
    key: str
    text: str

    @property
    def where(self) -> str:
        """Both in words: "PNG text parameters"."""
        return f"{self.place} {self.key}".strip()


def texts_of(image: Image.Image) -> tuple[Found, ...]:
    """The texts of a picture that has been decoded, those under names of their own first.

    PNG's (tEXt, zTXt, iTXt, behind the pixels too), EXIF's, the comments of JPEG and GIF, XMP's; and what
    is hidden in the pixels and stands in none of these.
    """
    found = [Found(place, key, text) for place, key, text in _all(image)]
    said = {one.text for one in found}
    found += [Found("pixels", key, text) for key, text in texts_in_pixels(image) if text not in said]
    return tuple(one for one in found if one.text.strip("\0 \r\n\t"))


def _all(image: Image.Image) -> Iterator[tuple[str, str, str]]:
    for key, text in getattr(image, "text", {}).items():
        if key != _XMP_KEY:
            yield (
                "PNG text",
                key,
                str(text).removeprefix("\ufeff") if isinstance(text, iTXt) else utf8_again(text),
            )
    try:
        exif = list(texts_of_exif(image.getexif()))
    except Exception:  # of EXIF that makes no sense nothing is read
        exif = []
    for name, text in exif:
        yield "EXIF", name, text
    comment = image.info.get("comment")
    if isinstance(comment, bytes | str):
        text = comment.decode("latin-1") if isinstance(comment, bytes) else comment
        yield "comment", "", utf8_again(text).strip("\0")
    xmp = image.info.get("xmp", image.info.get(_XMP_KEY))
    if isinstance(xmp, bytes | str):
        for name, text in texts_of_xmp(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp):
            yield "XMP", name, text
