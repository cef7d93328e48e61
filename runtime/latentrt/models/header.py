"""The JSON header of a safetensors file, read member by member.

A header may have 100 MB, and the whole of such a text takes 1.6 GB as Python's objects. Here no more of it is in memory
at a time than one member, and how large and how many those may be is bounded: many times what any model has.
"""

import json
import os
import re
import reprlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from latentrt.errors import WeightsError
from latentrt.files import open_regular
from latentrt.signatures import HEAD_BYTES, describe

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_TENSORS = 1 << 16  # SDXL in one file has 2,516
METADATA = "__metadata__"
_MAX_METADATA = 1 << 12  # entries; trainers write about 100
_MAX_METADATA_BYTES = 16 << 20  # of all of them: a picture of the model, and how often each tag occurred
_MAX_NAME_BYTES = 4096
_MAX_VALUE_BYTES = 1 << 16  # of what is said of one tensor; about 80 are needed
_USUAL_BYTES = 256
_QUOTES = 10  # in what is said of a tensor: its name, three keys, its type
_CHUNK = 1 << 16
_OF_NUMBERS = ("", *"0123456789.eE+-")
_SPACES = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.S)
_DECODER = json.JSONDecoder()


class _MalformedError(ValueError):
    """The header is no JSON object of members as the format has them."""


@contextmanager
def open_header(file: Path) -> Iterator[tuple[Iterator[tuple[str, Any]], int, int]]:
    """Open a safetensors file: the members of its header, where its data begin, and its size in bytes.

    What is said of a tensor comes as JSON gives it; `__metadata__` as a dict of text. Both may be anything else, too.

    Raises:
        WeightsError: here and from the iterator: not a whole safetensors file; says what it is instead, if known.
    """
    with open_regular(file, WeightsError) as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(HEAD_BYTES)
        length = int.from_bytes(head[:8], "little")
        if length > min(MAX_HEADER_BYTES, size - 8) or head[8:9] != b"{":
            said = describe(file, head)
            if said is None and size - 8 < length:
                said = f"not a whole safetensors file ({size} bytes, its header would need {length}); download it again"
            raise WeightsError(f"{file}: {said or 'not a safetensors file'}")
        stream.seek(8)
        yield _members(file, _Text(stream, length)), 8 + length, size


def _members(file: Path, text: "_Text") -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()

    def new(names: Collection[str]) -> None:
        for twice in seen.intersection(names):
            raise _MalformedError(f"names {reprlib.repr(twice)} twice")
        seen.update(names)
        if len(seen) > MAX_TENSORS + 1:
            raise _MalformedError(f"names more than {MAX_TENSORS} tensors")

    try:
        for name in text.names():
            new((name,))
            yield name, _metadata(text) if name == METADATA and text.peek() == b"{" else text.value()
            several = text.several()
            new(several)
            yield from several.items()
        text.end()
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file}: the safetensors header cannot be read: {error}") from None
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror or error})") from None


def _metadata(text: "_Text") -> dict[str, Any]:
    begun, metadata = text.read, {}
    for name in text.names():
        metadata[name] = text.string(_MAX_METADATA_BYTES) if text.peek() == b'"' else text.value()
        if len(metadata) > _MAX_METADATA or text.read - begun > _MAX_METADATA_BYTES + _CHUNK:
            raise _MalformedError(
                f"{METADATA} has more than {_MAX_METADATA} entries or {_MAX_METADATA_BYTES} bytes"
            )
    return metadata


class _Text:
    """A stretch of an open file, of which a window is in memory.

    Attributes:
        read: bytes that have been in the window.
    """

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream, self._left = stream, length
        self._window, self._at = b"", 0
        self._singly = 0  # up to where `several` has found nothing
        self.read = 0

    def names(self) -> Iterator[str]:
        """The names of an object's members; whoever asks reads the value of each before the next."""
        self._take(b"{")
        if self.peek() == b"}":
            self._at += 1
            return
        while True:
            if self.peek() != b'"':
                raise _MalformedError(f"expected a name, got {self._shown()}")
            yield self._named()
            if self.peek() == b"}":
                self._at += 1
                return
            self._take(b",")

    def value(self) -> Any:
        """Any JSON of at most `_MAX_VALUE_BYTES`."""
        self.peek()
        size = _USUAL_BYTES
        while True:
            more = self._fill(size)
            piece = self._window[self._at : self._at + size]
            try:
                decoded = piece.decode("utf-8", "surrogateescape")  # the piece may end within a letter
                value, end = _DECODER.raw_decode(decoded)
                # A number that ends at the edge of the piece may go on behind it.
                if decoded[end : end + 1] not in _OF_NUMBERS or not more:
                    used = decoded[:end]
                    self._at += (
                        end if used.isascii() else len(used.encode("utf-8"))
                    )  # refuses what is no UTF-8
                    return value
            except ValueError:
                if not more or size >= _MAX_VALUE_BYTES:
                    raise
            if size >= _MAX_VALUE_BYTES:
                raise _MalformedError(f"a value of more than {_MAX_VALUE_BYTES} bytes")
            size *= 2

    def several(self) -> dict[str, Any]:
        """What follows a member: others, as far as they lie whole in the window; read at once, which is faster.

        None where they are not as programs write them: then each is to be read by itself.
        """
        begin = self.read - len(self._window) + self._at
        end = self._window.rfind(b"},", self._at, self._at + _CHUNK) + 1
        if begin < self._singly or end <= self._at or self._window[self._at : self._at + 1] != b",":
            return {}
        piece = self._window[self._at + 1 : end]
        found: dict[str, Any] = {}
        with suppress(ValueError, RecursionError):  # none where the piece ends within a member
            found = json.loads(f"{{{piece.decode('utf-8')}}}")
        # A name that stands twice would make more quotation marks.
        usual = piece.count(b'"') == _QUOTES * len(found)
        if not usual or METADATA in found or max(map(len, found)) > _MAX_NAME_BYTES:
            self._singly = begin + _CHUNK
            return {}
        self._at = end
        return found

    def string(self, max_bytes: int) -> str:
        """A JSON string, at whose quotation mark the window stands."""
        while (match := _STRING.match(self._window, self._at)) is None:
            length = len(self._window) - self._at
            if length > max_bytes or not self._fill(2 * length + _CHUNK, at_least=length):
                break
        if match is None or match.end() - self._at > max_bytes:
            raise _MalformedError(f"a string without an end, or of more than {max_bytes} bytes")
        self._at = match.end()
        text: str = json.loads(match[0].decode("utf-8"))
        return text

    def peek(self) -> bytes:
        """The next byte that is no space; none at the end."""
        while not (byte := self._window[self._at : self._at + 1]) or byte.isspace():
            self._at = _SPACES.match(self._window, self._at).end()  # type: ignore[union-attr]  # as few as none
            if self._at < len(self._window) or not self._fill(1, at_least=0):
                return self._window[self._at : self._at + 1]
        return byte

    def end(self) -> None:
        """Nothing but spaces may follow."""
        if self.peek():
            raise _MalformedError(f"expected its end, got {self._shown()}")

    def _named(self) -> str:
        name = self.string(_MAX_NAME_BYTES)
        self._take(b":")
        return name

    def _take(self, byte: bytes) -> None:
        if self.peek() != byte:
            raise _MalformedError(f"expected {byte.decode()!r}, got {self._shown()}")
        self._at += 1

    def _shown(self) -> str:
        """What comes next, for a message."""
        return (
            repr(self._window[self._at : self._at + 20].decode("utf-8", "replace"))
            if self.peek()
            else "its end"
        )

    def _fill(self, size: int, at_least: int | None = None) -> bool:
        """Have so many bytes from here in the window, if there are; whether there are more than `at_least` (`size`)."""
        if len(self._window) - self._at <= size and self._left:
            missing = size + 1 - (len(self._window) - self._at)
            data = self._stream.read(min(max(missing, _CHUNK), self._left))
            if not data:
                raise _MalformedError("the file has become shorter")
            self._left -= len(data)
            self.read += len(data)
            self._window, self._at = self._window[self._at :] + data, 0
        return len(self._window) - self._at > (size if at_least is None else at_least)
