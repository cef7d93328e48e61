"""Writes a model as a diffusers folder: what a single file leaves to its readers is written out.

A checkpoint in one file brings neither configs nor tokenizers nor a scheduler. Other programs want them, and this
project's own bundles do.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, WeightsError
from latentrt.files import TOKENIZER
from latentrt.models.component import Component
from latentrt.models.copying import copy_own
from latentrt.models.layout import (
    ADVICE,
    CHECKPOINT_FOLDERS,
    CONFIG,
    INDEX,
    LOW_RES_CONFIG,
    SCHEDULER_CONFIG,
    TEXT_ENCODERS,
    TOKENIZER_FILES,
    TOKENIZER_FOLDERS,
)
from latentrt.models.model import Model
from latentrt.models.safetensors import Tensor, safetensors_header
from latentrt.models.weights import Weights
from latentrt.text.vocabulary import write_clip

Array = npt.NDArray[Any]

_VERSION = "0.30.0"  # of diffusers: none of its repairs of older folders is meant
# By what the UNet was made for, of Stable Diffusion's kind and of SDXL's.
_PIPELINES = {
    "paint": ("StableDiffusionPipeline", "StableDiffusionXLPipeline"),
    "inpaint": ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline"),
    "edit": ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline"),
    "depth": ("StableDiffusionDepth2ImgPipeline",),
    "upscale": ("StableDiffusionUpscalePipeline",),
}
_KEPT = ("F16", "BF16", "F32")  # types that every reader of safetensors takes; others become F16


def write_folder(model: Model, out: Path) -> None:
    """Write the whole model into a folder that exists: configs, tokenizers and weights, one tensor at a time.

    Raises:
        ModelError: a file of it cannot be read, or a tensor is missing.
        OSError: the disk is full, or the folder cannot be written.
    """
    write_descriptions(model, out)
    networks: dict[str, list[Component]] = {}
    for name, component in model.components.items():
        networks.setdefault(CHECKPOINT_FOLDERS.get(name, name), []).append(component)
    for folder, components in networks.items():
        stem = "model" if folder in TEXT_ENCODERS else "diffusion_pytorch_model"
        _write_weights(components, out / folder / f"{stem}.safetensors")


def write_descriptions(model: Model, out: Path) -> None:
    """Write what is not weights: index, scheduler, advice, tokenizers, and the config of each network.

    Raises:
        ModelError: a file of it cannot be read.
        OSError: as `write_folder`.
    """
    write_beside(model, out)
    for name, component in model.components.items():
        write_json(out / CHECKPOINT_FOLDERS.get(name, name) / CONFIG, network_config(component))


def write_beside(model: Model, out: Path) -> None:
    """Write what belongs to no network: index, scheduler, advice, tokenizers."""
    write_json(out / INDEX, model_index(model))
    write_json(out / SCHEDULER_CONFIG, model.scheduler_config)
    if model.low_res_config:
        write_json(out / LOW_RES_CONFIG, model.low_res_config)
    if model.defaults:
        write_json(out / ADVICE, model.defaults)
    for encoder in model.text_encoders:
        write_tokenizer(model, encoder, out)


def write_tokenizer(model: Model, encoder: str, out: Path) -> None:
    """Write the tokenizer of a text encoder into its folder below `out`: the model's own files, else CLIP's."""
    name = dict(zip(TEXT_ENCODERS, TOKENIZER_FOLDERS, strict=True))[encoder]
    folder, own = out / name, model.root / name
    folder.mkdir(parents=True, exist_ok=True)
    if own.is_dir() or encoder not in model.pad_tokens:
        if not own.is_dir():
            raise ModelError(f"{own}: no such folder; expected the tokenizer of {encoder}")
        for file in TOKENIZER_FILES:
            copy_own(model.root, own / file, folder / file, TOKENIZER)
        return
    length = model.components[encoder].options.number("max_position_embeddings", 77)
    write_clip(folder, model.pad_tokens[encoder], length)


def network_config(component: Component) -> dict[str, Any]:
    """A network's config.json, which names its class."""
    named = (
        {"architectures": [component.kind]}
        if component.name in TEXT_ENCODERS
        else {"_class_name": component.kind}
    )
    return {**component.config, **named}


def model_index(model: Model) -> dict[str, Any]:
    """`model_index.json` of the model, as diffusers writes it."""
    index: dict[str, Any] = {"_diffusers_version": _VERSION, **model.index, "_class_name": _pipeline(model)}
    index["scheduler"] = ["diffusers", str(model.scheduler_config["_class_name"])]
    if model.low_res_config:
        index["low_res_scheduler"] = ["diffusers", str(model.low_res_config["_class_name"])]
    for name, component in model.components.items():
        index[CHECKPOINT_FOLDERS.get(name, name)] = [
            "transformers" if name in TEXT_ENCODERS else "diffusers",
            component.kind,
        ]
    for name, tokenizer in zip(TEXT_ENCODERS, TOKENIZER_FOLDERS, strict=True):
        if name in model.components:
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
        elif model.is_xl:
            index |= {name: [None, None], tokenizer: [None, None]}
    index["feature_extractor"] = [None, None]
    if model.is_xl:
        index["image_encoder"] = [None, None]
        if model.num_time_ids == 5:
            index["requires_aesthetics_score"] = True
    else:
        index |= {"safety_checker": [None, None], "requires_safety_checker": False}
    return index


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _pipeline(model: Model) -> str:
    if model.num_time_ids == 5:
        return "StableDiffusionXLImg2ImgPipeline"
    if model.guidance_width and not model.is_xl:
        return "LatentConsistencyModelPipeline"
    classes = _PIPELINES.get(model.purpose)
    if classes is None or model.is_xl >= len(classes):
        return str(model.index["_class_name"])
    return classes[model.is_xl]


def _write_weights(components: list[Component], path: Path) -> None:
    """The tensors of one network, or of both halves of an autoencoder, as they are stored where readers take that."""
    found: dict[str, tuple[Tensor, Weights]] = {}
    for component in components:
        found |= {name: (tensor, component.weights) for name, tensor in component.tensors().items()}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (tensor, _) in found.items():
        kept = tensor.dtype in _KEPT and tensor.scale is None
        size = int(np.prod(tensor.shape)) * (4 if kept and tensor.dtype == "F32" else 2)
        dtype = tensor.dtype if kept else "F16"
        entries[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    with path.open("wb") as file:
        file.write(safetensors_header(entries))
        for name, (tensor, weights) in found.items():
            as_stored = entries[name]["dtype"] == tensor.dtype and tensor.scale is None
            array = weights.stored(tensor) if as_stored else _half(weights, tensor)
            file.write(np.ascontiguousarray(array).data)
            weights.release()


def _half(weights: Weights, tensor: Tensor) -> Array:
    with np.errstate(over="ignore"):
        array = weights.read(tensor, np.float16)
    if not np.isfinite(array).all():
        raise WeightsError(
            f"{tensor.file}: tensor {tensor.name} exceeds the range of fp16, or holds NaN or infinity"
        )
    return array
