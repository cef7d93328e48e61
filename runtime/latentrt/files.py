"""The door by which files of a model come in: regular ones, no larger than their kind; JSON and paths not trusted.

And files that go out, whole or not at all.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from latentrt.claim import check_file, draft, naming
from latentrt.errors import ModelError
from latentrt.signatures import HEAD_BYTES, describe


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file beside `path`; it takes that place when the block ends, and is gone when that fails.

    Whatever is there is replaced, also what appears meanwhile. Who writes for long claims the name first (`claim.py`).

    Raises:
        InputError: no file may take that name (`check_file`).
        OSError: the folder cannot be written, or the disk is full; `path` is then as it was.
    """
    check_file(path)
    with naming(path), draft(path) as claim:
        with claim.open() as file:
            yield file
        claim.new.replace(path)


def contained(folder: Path, name: str, called: str = "model's folder") -> Path:
    """The path `name` inside `folder`, where `name` was found in a file and is not to be trusted.

    Its last part may be a link: a model hub's cache links each file of a model to a blob elsewhere. Folders on the way
    may not lead out.

    Raises:
        ModelError: it is absolute, or leads out of the folder.
    """
    pure, path = PurePosixPath(name), folder / name
    inside = not pure.is_absolute() and ".." not in pure.parts and "\\" not in name and "\0" not in name
    try:
        inside = inside and path.parent.resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError):  # half a surrogate pair; links in a circle
        inside = False
    if not inside:
        raise ModelError(f"{folder}: refers to {name!r}, which lies outside of the {called}; refused")
    return path


@dataclass(frozen=True)
class Kind:
    """What a file of one kind may hold at most: many times what any that is known does.

    Attributes:
        max_bytes: of the file.
        max_values: of the JSON in it.
    """

    max_bytes: int
    max_values: int


CONFIG = Kind(4 << 20, 100_000)
TOKENIZER = Kind(64 << 20, 1 << 20)  # of bytes about 30 times a CLIP vocabulary, of values 4 times
MAX_DEPTH = 32  # of JSON; a tokenizer's is 5


def open_regular(path: Path, error: type[ModelError] = ModelError) -> BinaryIO:
    """Open a file of a model for reading: a regular one, to which links may lead.

    Nothing else is ever read, nor waited for: a pipe, a device, a folder. What was looked at is what is read, since the
    open file itself is asked.

    Raises:
        ModelError: (or the given subclass) it is absent, cannot be opened, or is something else; says what.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        _check_regular(path, path.stat().st_mode, error)  # first, since to open a device may do something
        descriptor = os.open(path, flags)
        try:
            _check_regular(path, os.fstat(descriptor).st_mode, error)
        except BaseException:
            os.close(descriptor)
            raise
    except FileNotFoundError:
        if path.is_symlink():
            raise error(
                f"{path}: is a link to {path.readlink()}, which is not there; download the file again"
            ) from None
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError) as cause:  # not allowed, links in a circle; a name that holds a zero byte
        raise error(f"{path}: cannot be opened ({getattr(cause, 'strerror', None) or cause})") from None
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, max_bytes: int, error: type[ModelError] = ModelError) -> bytes:
    """All of a file of a model; never more than `max_bytes`, whatever the file says of its size, or grows to.

    Raises:
        ModelError: (or the given subclass) as `open_regular`; or it is larger.
    """
    with open_regular(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= max_bytes:
            try:
                data = file.read(max_bytes + 1)
            except OSError as cause:
                raise error(f"{path}: cannot be read ({cause.strerror or cause})") from None
            size = len(data)
    if size > max_bytes:
        raise error(f"{path}: {size} bytes or more; expected at most {max_bytes}")
    return data


def read_text(path: Path, error: type[ModelError] = ModelError, *, kind: Kind = CONFIG) -> str:
    """The text of a file.

    Raises:
        ModelError: (or the given subclass) as `read_bytes`; or it is not UTF-8.
    """
    data = read_bytes(path, kind.max_bytes, error)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise error(f"{path}: {_instead(path, data, f'not UTF-8 text ({cause})')}") from None


def read_json(
    path: Path, error: type[ModelError] = ModelError, *, optional: bool = False, kind: Kind = CONFIG
) -> dict[str, Any]:
    """A JSON object from a file; an empty one where nothing has that name and `optional`.

    Raises:
        ModelError: (or the given subclass) as `read_text`; or it is no JSON object, or holds more than its kind may.
    """
    if optional and not os.path.lexists(path):
        return {}
    text = read_text(path, error, kind=kind)
    # At most so many values: as many as things that end or begin one, also inside of strings.
    if sum(map(text.count, ",[{")) > kind.max_values:
        raise error(f"{path}: holds more than {kind.max_values} values; no model's does")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(f"{path}: {_instead(path, text.encode(), f'not valid JSON ({cause})')}") from None
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object, got {type(value).__name__}")
    if not _is_shallow(value):
        raise error(f"{path}: not valid JSON for a model: nested more than {MAX_DEPTH} deep")
    return value


def _check_regular(path: Path, mode: int, error: type[ModelError]) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise error(f"{path}: is {kinds.get(stat.S_IFMT(mode), 'a device')}; expected a file")


def _instead(path: Path, data: bytes, problem: str) -> str:
    """What the file is that is not what it should be, or `problem` where that is not known."""
    return describe(path, data[:HEAD_BYTES]) or problem


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below = (inner.values() if isinstance(inner, dict) else inner for inner in level)
        level = [part for parts in below for part in parts if isinstance(part, dict | list)]
        if not level:
            return True
    return False
