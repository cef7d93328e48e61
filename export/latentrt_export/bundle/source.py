"""The checkpoint to export: a diffusers folder of the Stable Diffusion 1.x kind."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, WeightsError
from latentrt.files import CONFIG, Kind, contained, read_bytes, read_json
from latentrt.models.given.layout import find_layout
from latentrt.models.hub_names import blob_folders
from latentrt.models.layout import INDEX
from latentrt.models.locate import locate
from latentrt.models.manifest import MANIFEST_NAME
from latentrt.models.safetensors import DTYPE_NAMES
from latentrt.models.weight_files import find_weight_files
from latentrt.models.weights import Weights, extends, names_of
from latentrt.networks import BUILDERS, Options

Array = npt.NDArray[Any]

# Where a diffusers folder keeps each of our components, and the class that it has to be: the usual one.
FOLDERS = {"text_encoder": "text_encoder", "unet": "unet", "vae_encoder": "vae", "vae_decoder": "vae"}
_CLASSES = {folder: next(iter(BUILDERS[name])) for name, folder in FOLDERS.items()}
# What else a pipeline of this kind may hold; the first three are copied or not needed, the rest is left out.
_OTHERS = ("scheduler", "tokenizer", "feature_extractor", "safety_checker", "image_encoder")
_MAPPED_BYTES = 256 << 20  # how much of a mapped file may be touched before the mapping is made anew


class Tensors(Protocol):
    """The weights of one component, asked for by their current names."""

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        """The tensor's finite floating-point numbers as they are stored; bf16 as float32, which holds it exactly.

        Raises:
            WeightsError: it is missing, has another shape or type, or holds NaN or infinity.
        """
        ...

    def dtype(self, name: str) -> str:
        """The type that it is stored in, as safetensors names it: "BF16"."""
        ...


@dataclass(frozen=True)
class Source:
    """A checkpoint folder, and what it is called. `configs` are by component; both halves of the VAE share one."""

    root: Path
    name: str
    index: Mapping[str, Any]
    configs: Mapping[str, Mapping[str, Any]]

    def config_path(self, component: str) -> Path:
        """The component's config.json."""
        return self.root / FOLDERS[component] / "config.json"

    def copy(self, path: Path, target: Path, kind: Kind = CONFIG) -> None:
        """Copy a file of the checkpoint, if it is there.

        What lies elsewhere is somebody's own, and no link to it is followed: a bundle is made to be given away. The
        files of a snapshot in the hub's cache are links to its blobs.

        Raises:
            ModelError: it is a link out of the folder, no regular file, or too large.
        """
        if not os.path.lexists(path):
            return
        real = path.resolve()
        if not any(real.is_relative_to(folder) for folder in (self.root.resolve(), *blob_folders(self.root))):
            raise ModelError(
                f"{path}: is a link to {real}, which lies outside of the model's folder and is not copied; put the "
                "file itself there"
            )
        target.write_bytes(read_bytes(real, kind.max_bytes))

    def tensors(self, component: str) -> Tensors:
        """The component's weights; only headers are read now.

        Raises:
            WeightsError: there are none, or they are not whole.
        """
        folder = self.root / FOLDERS[component]
        try:
            return _Safetensors(folder, find_weight_files(folder))
        except WeightsError:
            pickles = _find_pickles(folder)
            if not pickles:
                raise
            return _Pickles(folder, pickles)


def open_source(model: str | Path) -> Source:
    """Open a checkpoint folder, or a model of the hub, which is downloaded.

    Raises:
        ModelError: there is none, or it is of another kind; says which part is not supported.
    """
    located = locate(model)
    root = located.path
    if (root / MANIFEST_NAME).is_file():
        raise ModelError(
            f"{root}: is a bundle already; expected the diffusers checkpoint that it was made from"
        )
    if find_layout(root) is not None:
        raise ModelError(
            f"{root}: is ONNX already, as somebody exported it; expected the diffusers checkpoint that it was made from"
        )
    index = read_json(root / INDEX)
    for name, value in index.items():
        present = isinstance(value, list) and any(part is not None for part in value)
        if present and not name.startswith("_") and name not in (*_CLASSES, *_OTHERS):
            raise ModelError(
                f"{root}: its pipeline {index.get('_class_name')} has a {name} ({'.'.join(map(str, value))}), which "
                f"cannot be exported; expected Stable Diffusion 1.x: {', '.join(_CLASSES)}, tokenizer, scheduler"
            )
    for folder, expected in _CLASSES.items():
        value = index.get(folder)
        found = value[-1] if isinstance(value, list) and value else None
        if found != expected:
            raise ModelError(
                f"{root}: its {folder} is {found}, which cannot be exported; expected {expected}"
            )
    source = Source(
        root, located.name, index, {name: read_json(root / FOLDERS[name] / "config.json") for name in FOLDERS}
    )
    unet = Options(str(source.config_path("unet")), source.configs["unet"])
    for key in ("addition_embed_type", "time_cond_proj_dim"):
        if (value := unet.get(key)) is not None:
            raise unet.unsupported(
                key,
                value,
                "a UNet that is told the text and the timestep alone: others run as "
                "they are, and cannot be exported",
            )
    return source


class _Safetensors:
    def __init__(self, folder: Path, files: tuple[Path, ...]) -> None:
        self._folder = folder
        self._weights = Weights(files)
        self._touched = 0

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self._weights.find(name)
        if tensor is None:
            raise _missing(self._folder, name, shape)
        if self._touched > _MAPPED_BYTES:  # pages of a mapping count as ours until it goes
            self._weights, self._touched = Weights(self._weights.files), 0
        self._touched += tensor.end - tensor.start
        return _checked(self._folder, tensor.name, self._weights.read(tensor), shape)

    def dtype(self, name: str) -> str:
        tensor = self._weights.find(name)
        return "none" if tensor is None else tensor.dtype


class _Pickles:
    """Weights in torch's own files, read by torch with `weights_only`, which runs no code from them."""

    def __init__(self, folder: Path, files: list[Path]) -> None:
        import torch

        self._folder = folder
        self._tensors: dict[str, Any] = {}
        for file in files:
            try:
                state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            except Exception as error:  # torch raises half a dozen kinds for damaged and for refused files
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise WeightsError(
                    f"{file}: torch refuses to read it with weights_only: {reason}. Expected a plain state dict of "
                    "tensors; take the model's .safetensors files."
                ) from error
            self._tensors.update(state)

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        import torch

        found = self._find(name)
        tensor = self._tensors.get(found)
        if not isinstance(tensor, torch.Tensor):
            raise _missing(self._folder, name, shape)
        tensor = tensor.detach()
        # numpy has no bf16
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return _checked(self._folder, found, array, shape)

    def dtype(self, name: str) -> str:
        import torch

        tensor = self._tensors.get(self._find(name))
        if not isinstance(tensor, torch.Tensor):
            return "none"
        if tensor.dtype == torch.bfloat16:
            return "BF16"
        return DTYPE_NAMES[torch.empty(0, dtype=tensor.dtype).numpy().dtype]

    def _find(self, name: str) -> str:
        return next((alias for alias in names_of(name) if alias in self._tensors), name)


def _find_pickles(folder: Path) -> list[Path]:
    for stem in ("diffusion_pytorch_model", "pytorch_model"):
        for variant in ("", ".fp16"):
            if (folder / f"{stem}{variant}.bin").is_file():
                return [folder / f"{stem}{variant}.bin"]
            index = folder / f"{stem}.bin.index{variant}.json"
            if index.is_file():
                weight_map = read_json(index, WeightsError).get("weight_map", {})
                return [contained(folder, str(name)) for name in sorted(set(weight_map.values()))]
    return []


def _missing(folder: Path, name: str, shape: tuple[int, ...]) -> WeightsError:
    return WeightsError(
        f"{folder}: tensor {name} is missing; config.json asks for it with shape {shape}. The weights are not whole, "
        "or not of this config.json."
    )


def _checked(folder: Path, name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if not extends(array.shape, shape):
        raise WeightsError(f"{folder}: tensor {name} has shape {array.shape}; config.json asks for {shape}")
    if array.dtype.kind != "f":
        raise WeightsError(
            f"{folder}: tensor {name} has dtype {array.dtype}; expected floating-point numbers"
        )
    if not np.isfinite(array).all():
        raise WeightsError(f"{folder}: tensor {name} holds NaN or infinity; such weights cannot be exported")
    return array.reshape(shape)
