"""One prepared network in the folder: whether it is whole, and what ONNX Runtime is to load of it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

from latentrt.engine.prepared.folder import FORMAT, MANIFEST, Cache, read_manifest, tell
from latentrt.engine.prepared.key import sampled

MODEL, DATA = "model.onnx", "model.data"
_SAMPLES = 256


@dataclass(frozen=True)
class Entry:
    """Where a network's prepared form is, there or not.

    Attributes:
        cache: the folder that it is in.
        key: what it is known by there.
        component: the network's name.
        files: of its weights.
        shapes: of its inputs, by name, as it is about to be run with.
    """

    cache: Cache
    key: str
    component: str
    files: tuple[Path, ...]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.cache.root / self.key

    @property
    def is_there(self) -> bool:
        """Whether there is one, whole or not."""
        try:
            self.cache.check()
        except OSError:
            return False
        return (self.folder / MANIFEST).is_file()

    def model(self) -> tuple[bytes, bool] | None:
        """The graph to load, whose weights lie beside it, and whether it is optimised already.

        None where there is none that is whole.

        What is damaged is removed, which is told.
        """
        if not self.is_there:
            return None
        try:
            found = read_whole(self.folder)
        except (OSError, ValueError) as error:
            if self.folder.exists():  # and was not removed just now
                self.discard(str(error))
            return None
        with contextlib.suppress(OSError):  # a folder that is only read
            os.utime(self.folder / MANIFEST)
        return found

    def discard(self, problem: str) -> None:
        """Remove it, and say why."""
        self.cache.remove(self.key)
        tell(f"{self.folder}: prepared {self.component} is damaged, and removed: {problem}")


def read_whole(folder: Path) -> tuple[bytes, bool]:
    """The graph in a folder, whose weights are what they were when it was made, and whether it is optimised.

    Raises:
        ValueError: something was changed.
        OSError: something cannot be read.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ValueError(f"{MANIFEST} is not whole")
    data = (folder / MODEL).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.get("graph"):
        raise ValueError(f"{MODEL} has changed")
    if _weights(folder) != manifest.get("weights"):
        raise ValueError(f"{DATA} has changed")
    return data, manifest.get("optimised") is True


def write_manifest(folder: Path, entry: Entry, is_optimised: bool) -> None:
    """Say of what has just been made in a folder that it is whole; all of it is on disk then."""
    data = (folder / MODEL).read_bytes()
    said = {
        "format": FORMAT,
        "key": entry.key,
        "component": entry.component,
        "source": [str(file) for file in entry.files],
        "onnxruntime": ort.__version__,
        "optimised": is_optimised,
        "graph": hashlib.sha256(data).hexdigest(),
        "weights": _weights(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    for name in (MODEL, DATA, MANIFEST):
        with (folder / name).open("r+b") as file:
            os.fsync(file.fileno())


def _weights(folder: Path) -> dict[str, Any]:
    """What is remembered of a file of several GB, which is not read whole each time: any write changes its time."""
    with (folder / DATA).open("rb") as file:
        status = os.fstat(file.fileno())
        pieces = hashlib.sha256(sampled(file, status.st_size, _SAMPLES)).hexdigest()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "pieces": pieces}
