"""Where a model is that somebody names: the included one, a folder, a file, or a model of the hub."""

import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.given.layout import find_layout
from latentrt.models.hub_names import SINGLE_FILE, cached_name, hub_name, is_of_cache, snapshot_in
from latentrt.models.layout import CONFIG, INDEX


@dataclass(frozen=True)
class Located:
    """A model that is on disk.

    Attributes:
        path: a folder, or a file.
        name: by which it is told of, in a picture's text too.
    """

    path: Path
    name: str


def locate(model: str | Path) -> Located:
    """Find a model; one of the hub is downloaded, as far as it is needed and not in the cache.

    Args:
        model: "demo"; a folder or a file; the hub cache's folder of a model; or `org/name[@revision]`, where there is
            no such folder.

    Raises:
        ModelError: there is none, or not all of it; says where to look.
    """
    path = model_folder(model)
    if path.is_dir():
        snapshot = snapshot_in(path)
        if snapshot is None and is_of_cache(path):
            raise ModelError(
                f"{path}: a folder of the hub's cache, with no snapshot of its main version; give {name_of(path)} to "
                "download it"
            )
        path = path if snapshot is None else snapshot
    elif not (path.exists() or path.is_symlink()) and (named := hub_name(model)) is not None:
        from latentrt.models import hub

        path = hub.fetch(named)
    name = name_of(model if model == "demo" else path)
    if path.is_dir():
        _check_folder(path)
        return Located(path, name)
    if path.is_file():
        if path.suffix == ".onnx":
            raise ModelError(f"{path}: is one graph; expected the folder that holds those of a whole model")
        return Located(path, name)
    if path.is_symlink() and not path.exists():
        raise ModelError(f"{path}: is a link to {path.readlink()}, which is not there")
    if not path.exists():
        raise ModelError(
            f"{model}: no such model. Expected `demo`, a .safetensors file, the folder of a diffusers checkpoint or of "
            "a bundle, or a model of the hub (org/name)."
        )
    raise ModelError(
        f"{path}: is neither a file nor a folder; expected a .safetensors file or a model's folder"
    )


def model_folder(model: str | Path) -> Path:
    """The folder or file that a model's name stands for here; whether there is one is not looked at."""
    if model == "demo":
        return Path(str(importlib.resources.files("latentrt"))) / "models" / "demo"
    try:
        return Path(model).expanduser()
    except RuntimeError:  # ~somebody who is not known here
        return Path(model)


def name_of(model: str | Path) -> str:
    """What a model is called in a picture's text, by what was given for it; nothing is downloaded."""
    if model == "demo":
        return "demo"
    path = model_folder(model)
    if not path.exists() and (named := hub_name(model)) is not None:
        return named.shown
    # Files of the cache are links out of their folders.
    path = path.resolve() if path.is_dir() else path.absolute()
    if (cached := cached_name(path)) is not None:
        return cached
    return path.stem if path.suffix == SINGLE_FILE else path.name


def _check_folder(root: Path) -> None:
    """Say what a folder is that is no model.

    Raises:
        ModelError: it has no model_index.json, nor graphs that others exported.
    """
    if (root / INDEX).exists() or (root / INDEX).is_symlink() or find_layout(root) is not None:
        return
    expected = f"{root}: is no model: it has no {INDEX}. Expected a diffusers folder or a bundle"
    if (root / CONFIG).is_file():
        config = read_json(root / CONFIG)
        kind = config.get("_class_name") or config.get("architectures") or "a network"
        whole = (root.resolve().parent / INDEX).is_file()
        advice = (
            f"give the folder that it lies in, {root.resolve().parent}" if whole else "give the whole model"
        )
        raise ModelError(f"{root}: is one part of a model ({_said(kind)}): {advice}")
    inside = _names(root, lambda path: (path / INDEX).is_file())
    files = _names(root, lambda path: path.suffix == SINGLE_FILE and path.is_file())
    if inside:
        raise ModelError(f"{expected}; there is one in it: {', '.join(inside)}")
    if files:
        raise ModelError(f"{expected}; it holds files that may each be a model: {', '.join(files)}")
    raise ModelError(f"{expected}.")


def _names(folder: Path, wanted: Callable[[Path], bool]) -> list[str]:
    """The paths of what a folder holds, a few of them."""
    return [str(path) for path in sorted(folder.iterdir()) if wanted(path)][:8]


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
