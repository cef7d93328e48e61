"""Copies of a model's small files: what is known by name, and nothing that a link in its folder leads to elsewhere."""

import os
from pathlib import Path

from latentrt.errors import ModelError
from latentrt.files import Kind, read_bytes
from latentrt.models.hub_names import blob_folders


def copy_own(root: Path, path: Path, target: Path, kind: Kind) -> None:
    """Copy a file of a model's folder, if it is there.

    What lies elsewhere is somebody's own, and no link to it is followed: a copy is made to be given away. The files
    of a snapshot in the hub's cache are links to its blobs.

    Args:
        root: the model's folder.
        path: of the file in it.
        target: where to; folders above it are made.
        kind: of the file, which bounds its size.

    Raises:
        ModelError: it is a link out of the folder, no regular file, or too large.
    """
    if not os.path.lexists(path):
        return
    real = path.resolve()
    if not any(real.is_relative_to(folder) for folder in (root.resolve(), *blob_folders(root))):
        raise ModelError(
            f"{path}: is a link to {real}, which lies outside of the model's folder and is not copied; put the "
            "file itself there"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(read_bytes(real, kind.max_bytes))
