"""The checkpoint to export: a model as the runtime reads it, and its weights, tensor by tensor."""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, WeightsError
from latentrt.files import contained, read_json
from latentrt.models.bundle import open_model
from latentrt.models.component import Component
from latentrt.models.given.layout import find_layout
from latentrt.models.layout import CHECKPOINT_FOLDERS, TEXT_ENCODERS, TOKENIZER_FOLDERS
from latentrt.models.locate import locate
from latentrt.models.manifest import MANIFEST_NAME
from latentrt.models.model import Model
from latentrt.models.replacing import NOTHING_ELSE, Replacements
from latentrt.models.safetensors import DTYPE_NAMES
from latentrt.models.weights import Weights, extends, names_of

Array = npt.NDArray[Any]

# What a pipeline may hold beside its networks: the first four are written or not needed, the rest is left out.
_OTHERS = (
    "scheduler",
    "low_res_scheduler",
    *TOKENIZER_FOLDERS,
    "feature_extractor",
    "safety_checker",
    "image_encoder",
    "depth_estimator",
)
# The networks that torch's classes are compared with.
CLASSES = ("CLIPTextModel", "CLIPTextModelWithProjection", "UNet2DConditionModel", "AutoencoderKL")
_MAPPED_BYTES = 256 << 20  # how much of a mapped file may be touched before its pages are given back


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


def open_source(model: str | Path, given: Replacements = NOTHING_ELSE) -> Model:
    """Open a checkpoint, a diffusers folder or a single file, that can be exported.

    Args:
        model: where it is.
        given: what counts in place of its own, or for what a single file lacks.

    Raises:
        ModelError: there is none, or it is of another kind; says which part is not supported.
    """
    root = locate(model).path
    if root.is_dir() and not os.path.lexists(root / MANIFEST_NAME) and find_layout(root) is not None:
        raise ModelError(
            f"{root}: is ONNX already, as somebody exported it; expected the checkpoint that it was made from"
        )
    opened = open_model(model, given)
    if opened.manifest is not None:
        raise ModelError(f"{opened.root}: is a bundle already; expected the checkpoint that it was made from")
    folders = {CHECKPOINT_FOLDERS.get(name, name) for name in (*TEXT_ENCODERS, *opened.components)}
    for name, value in opened.index.items():
        present = isinstance(value, list) and any(part is not None for part in value)
        if present and not name.startswith("_") and name not in (*folders, *_OTHERS):
            raise ModelError(
                f"{opened.root}: its pipeline {opened.index.get('_class_name')} has a {name} "
                f"({'.'.join(map(str, value))}), which cannot be exported; expected {', '.join(sorted(folders))}, "
                "tokenizers and a scheduler"
            )
    for name, component in opened.components.items():
        if component.kind not in CLASSES:
            raise ModelError(
                f"{component.where}: the {name} is a {component.kind}, which runs and cannot be exported; expected "
                f"{', '.join(CLASSES)}"
            )
    return opened


def tensors_of(component: Component) -> Tensors:
    """A component's weights; only headers are read now.

    Raises:
        WeightsError: there are none, or they are not whole.
    """
    try:
        return _Safetensors(component, component.weights)
    except WeightsError:
        pickles = _find_pickles(component.folder)
        if not pickles:
            raise
        return _Pickles(component, pickles)


class _Safetensors:
    def __init__(self, component: Component, weights: Weights) -> None:
        self._component = component
        self._weights = weights
        self._touched = 0

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self._weights.find(name)
        if tensor is None:
            raise _missing(self._component, name, shape)
        if self._touched > _MAPPED_BYTES:  # pages of a mapping count as ours
            self._weights.release()
            self._touched = 0
        self._touched += tensor.end - tensor.start
        return _checked(self._component, tensor.name, self._weights.read(tensor), shape)

    def dtype(self, name: str) -> str:
        tensor = self._weights.find(name)
        return "none" if tensor is None else tensor.dtype


class _Pickles:
    """Weights in torch's own files, read by torch with `weights_only`, which runs no code from them."""

    def __init__(self, component: Component, files: list[Path]) -> None:
        import torch

        self._component = component
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
            raise _missing(self._component, name, shape)
        tensor = tensor.detach()
        # numpy has no bf16
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return _checked(self._component, found, array, shape)

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


def _missing(component: Component, name: str, shape: tuple[int, ...]) -> WeightsError:
    return WeightsError(
        f"{_place(component)}: tensor {name} is missing; config.json asks for it with shape {shape}. The weights are "
        "not whole, or not of this config.json."
    )


def _place(component: Component) -> str:
    """Where its weights are, for messages."""
    return component.where if component.held is not None else str(component.folder)


def _checked(component: Component, name: str, array: Array, shape: tuple[int, ...]) -> Array:
    folder = _place(component)
    if not extends(array.shape, shape):
        raise WeightsError(f"{folder}: tensor {name} has shape {array.shape}; config.json asks for {shape}")
    if array.dtype.kind != "f":
        raise WeightsError(
            f"{folder}: tensor {name} has dtype {array.dtype}; expected floating-point numbers"
        )
    if not np.isfinite(array).all():
        raise WeightsError(f"{folder}: tensor {name} holds NaN or infinity; such weights cannot be exported")
    return array.reshape(shape)
