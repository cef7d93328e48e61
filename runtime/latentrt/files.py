"""Files appear whole or not at all: written beside their place, then renamed into it."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from latentrt.errors import ModelError

MAX_JSON_BYTES = 32_000_000


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; rename it to `path` when the block ends, remove it when it fails.

    Raises:
        OSError: the folder cannot be written, or the disk is full; `path` is then as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def contained(folder: Path, name: str) -> Path:
    """The path `name` inside `folder`, where `name` was found in a file and is not to be trusted.

    Raises:
        ModelError: it leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        # A model hub's cache links each file to a blob elsewhere; the link itself then lies in the folder.
        if (
            path.is_symlink()
            and Path(os.path.normpath(path)).is_relative_to(folder)
            and ".." not in Path(name).parts
        ):
            return path
        raise ModelError(f"{folder}: refers to {name!r}, which lies outside of the model's folder; refused")
    return path


def read_json(path: Path, error: type[ModelError] = ModelError) -> dict[str, Any]:
    """A JSON object from a file of at most 32 MB.

    Raises:
        ModelError: (or the given subclass) it is absent, too large, or no JSON object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise error(
                f"{path}: {path.stat().st_size} bytes; expected a JSON file of at most {MAX_JSON_BYTES}"
            )
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (ValueError, RecursionError) as cause:
        raise error(f"{path}: not valid JSON ({cause})") from cause
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
