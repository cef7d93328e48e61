"""Where others keep the graphs of a model: in folders by component, in ORT's engine folders, or side by side."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latentrt.errors import ModelError

_COMPONENTS = ("text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder")
_ENGINE = re.compile(r"(clip|clip2|unet|unetxl|vae|vae_encoder)\.ort_.+")
_ENGINES = {
    "clip": "text_encoder",
    "clip2": "text_encoder_2",
    "unet": "unet",
    "unetxl": "unet",
    "vae": "vae_decoder",
    "vae_encoder": "vae_encoder",
}
# In a file's name without its punctuation; the first that is in it counts.
_FLAT = {
    "textencoder2": "text_encoder_2",
    "textencoder": "text_encoder",
    "vaeencoder": "vae_encoder",
    "vaedecoder": "vae_decoder",
    "unet": "unet",
}
# A part that nothing here runs.
_OTHERS = ("safetychecker", "controlnet", "scheduler", "concatsampleinputs")


@dataclass(frozen=True)
class Layout:
    """Graphs by component, and what their arrangement is called."""

    name: str
    files: Mapping[str, Path]


def find_layout(root: Path) -> Layout | None:
    """The graphs of a folder, where those are what it holds; None of a folder of weights.

    Raises:
        ModelError: two files might be the same network.
    """
    if any((root / "unet").glob("*.safetensors")) and not (root / "unet" / "model.fp32.onnx").exists():
        return None  # a checkpoint, with exports beside it: what is not baked in does more
    for find in (_folders, _engines, _flat):
        layout = find(root)
        if layout is not None and "unet" in layout.files:
            return layout
    return None


def _folders(root: Path) -> Layout | None:
    files = {}
    for name in _COMPONENTS:
        found = sorted(path for path in (root / name).glob("*.onnx") if path.is_file())
        if found:
            files[name] = _only([p for p in found if p.name == "model.onnx"] or found, name)
    return Layout("folders", files) if files else None


def _engines(root: Path) -> Layout | None:
    folder = root / "engine" if (root / "engine").is_dir() else root
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/model.onnx")):
        if path.is_file() and (match := _ENGINE.fullmatch(path.parent.name)):
            found.setdefault(_ENGINES[match[1]], []).append(path)
    files = {name: _only(paths, name) for name, paths in found.items()}
    return Layout("engines of ONNX Runtime's CUDA pipelines", files) if files else None


def _flat(root: Path) -> Layout | None:
    found: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*.onnx")):
        plain = re.sub(r"[^a-z0-9]", "", path.stem.lower())
        name = next((name for word, name in _FLAT.items() if word in plain), None)
        if name is not None and path.is_file() and not any(word in plain for word in _OTHERS):
            found.setdefault(name, []).append(path)
    files = {name: _only(paths, name) for name, paths in found.items()}
    return Layout("flat files, as of WebNN's samples", files) if files else None


def _only(paths: list[Path], name: str) -> Path:
    if len(paths) > 1:
        raise ModelError(
            f"{paths[0].parent}: {' and '.join(path.name for path in paths)} might each be the {name}; expected one: "
            "move the others elsewhere"
        )
    return paths[0]
