"""Texts in XMP, the XML that Draw Things and photo programs put into pictures (ISO 16684-1)."""

from collections.abc import Iterator
from xml.etree import ElementTree

_MOST = 1 << 24  # bytes; more is no text about a picture
# What programs put texts into, by the name without its namespace, and what those are called here.
_NAMES = {
    "UserComment": "UserComment",
    "description": "description",
    "ImageDescription": "ImageDescription",
    "CreatorTool": "CreatorTool",
    "parameters": "parameters",
}


def texts_of_xmp(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts by their names; none of what is no XML, or declares entities, which could grow without end."""
    if len(data) > _MOST or b"\0" in data[:100] or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return
    try:
        root = ElementTree.fromstring(data.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError):
        return
    for element in root.iter():
        name = _NAMES.get(_local(element.tag))
        if name is not None:  # a language alternative holds its text in an item of a list
            text = next((part.strip() for part in element.itertext() if part.strip()), "")
            if text:
                yield name, text
        for attribute, value in element.attrib.items():
            name = _NAMES.get(_local(attribute))
            if name is not None and value:
                yield name, value


def _local(tag: object) -> str:
    """The name without its namespace."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
