"""Names of the Hugging Face hub, and the folders that its cache keeps models in."""

import re
from dataclasses import dataclass
from pathlib import Path

from latentrt.errors import ModelError
from latentrt.files import read_text

SINGLE_FILE = ".safetensors"
_HUB_NAME = re.compile(
    rf"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/(?P<file>[^@]+{re.escape(SINGLE_FILE)}))?(?:@(?P<revision>[^@]+))?",
    re.ASCII,
)
_CACHED = re.compile(r"models--(?P<org>.+?)--(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """`org/name[/file.safetensors][@revision]`, taken apart."""

    repo: str
    file: str | None = None
    revision: str | None = None

    @property
    def shown(self) -> str:
        """By which its model is told of: without the revision, as it is named elsewhere."""
        return self.repo if self.file is None else f"{self.repo}/{self.file}"


def hub_name(model: str | Path) -> HubName | None:
    """A name taken apart as one of the hub; None where it cannot be one."""
    match = _HUB_NAME.fullmatch(model) if isinstance(model, str) else None
    if match is None or any(part in ("", ".", "..") for part in re.split("[/@]", match[0])):
        return None
    return HubName(match["repo"], match["file"], match["revision"])


def is_of_cache(folder: Path) -> bool:
    """Whether this is what the cache keeps all of a model in: `models--org--name`."""
    return _CACHED.fullmatch(folder.resolve().name) is not None


def cached_name(path: Path) -> str | None:
    """`org/name` of a path in the cache, and what of it; None of any other."""
    for depth, folder in enumerate((path, *path.parents)):
        if match := _CACHED.fullmatch(folder.name):
            inside = path.parts[len(path.parts) - depth :]
            if inside[:1] in ((), ("snapshots",)):
                return "/".join([f"{match['org']}/{match['name']}", *inside[2:]])
    return None


def snapshot_in(folder: Path, revision: str | None = None) -> Path | None:
    """What a model's folder in the hub's cache, `models--org--name`, holds of a revision (`main`); None where nothing.

    Also None for any other folder.

    Raises:
        ModelError: it is such a folder, no revision was asked for, and there is no `main`, but several others.
    """
    if not is_of_cache(folder):
        return None
    snapshots = folder / "snapshots"
    ref = folder / "refs" / (revision or "main")
    commit = read_text(ref).strip() if ref.is_file() else revision
    if commit is not None:
        there = _COMMIT.fullmatch(commit) is not None and (snapshots / commit).is_dir()
        return snapshots / commit if there else None
    found = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
    if len(found) > 1:
        raise ModelError(
            f"{folder}: holds {len(found)} snapshots and no refs/main that says which; give one of {snapshots}"
        )
    return found[0] if found else None


def blob_folders(root: Path) -> tuple[Path, ...]:
    """Where the cache keeps the files to which those of a snapshot are links; none of other folders."""
    snapshot = root.resolve()
    repo = snapshot.parent.parent
    if snapshot.parent.name != "snapshots" or not is_of_cache(repo):
        return ()
    return repo / "blobs", repo.parent / "blobs"
