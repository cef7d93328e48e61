"""Files that appear whole or not at all; JSON and paths that are not trusted."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from latentrt.claim import check_file, draft, naming
from latentrt.errors import ModelError

MAX_TEXT_BYTES = 64 << 20  # about 30 times a CLIP vocabulary, the largest text of a model


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


def read_text(path: Path, error: type[ModelError] = ModelError) -> str:
    """The text of a file; its size is looked at before a byte is read.

    Raises:
        ModelError: (or the given subclass) it is absent, larger than `MAX_TEXT_BYTES`, or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise error(f"{path}: {size} bytes; expected at most {MAX_TEXT_BYTES}")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 text ({cause})") from None


def read_json(path: Path, error: type[ModelError] = ModelError, *, optional: bool = False) -> dict[str, Any]:
    """A JSON object from a file; an empty one where the file is absent and `optional`.

    Raises:
        ModelError: (or the given subclass) it is absent, too large, or no JSON object.
    """
    if optional and not path.exists():
        return {}
    try:
        value = json.loads(read_text(path, error))
    except (ValueError, RecursionError) as cause:
        raise error(f"{path}: not valid JSON ({cause})") from None
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
