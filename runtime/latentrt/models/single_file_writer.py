"""Writes a model as one file, in the names that AUTOMATIC1111, ComfyUI and diffusers read: the original code's.

Weights go through as they are stored, tensor by tensor; nothing is converted but OpenCLIP's projection, which is kept
transposed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from latentrt.claim import claim_file
from latentrt.errors import ModelError
from latentrt.models.component import Component
from latentrt.models.derive import unet_config
from latentrt.models.keys import open_clip, unet, vae
from latentrt.models.model import Model
from latentrt.models.safetensors import DTYPE_NAMES, Tensor, safetensors_header
from latentrt.models.weights import Weights
from latentrt.networks import Options
from latentrt.networks.options import MAX_SIZE

Array = npt.NDArray[Any]

_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_MATRICES = (
    ".q.weight",
    ".k.weight",
    ".v.weight",
    ".proj_out.weight",
)  # of the original's attention: 1×1 convolutions
_VOCABULARY = 49408  # CLIP's: a single file brings no tokenizer of its own


@dataclass(frozen=True)
class _Entry:
    """One tensor to be written: those of a network that make it up, one below the other."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[Tensor, ...]
    weights: Weights
    is_transposed: bool = False


def write_single_file(model: Model, out: Path, replaces: bool = False) -> Path:
    """Write a model's networks into one safetensors file; it appears whole or not at all.

    Args:
        model: its networks; a tokenizer and a scheduler have no place in such a file.
        out: where.
        replaces: what is there, too.

    Returns:
        where it is.

    Raises:
        InputError: something is there, or somebody is about to write it.
        ModelError: a network has tensors that the original code has no name for, or stores what cannot be joined.
    """
    entries = [*_network(model.components["unet"], _UNET), *_autoencoder(model), *_text_encoders(model)]
    entries.sort(key=lambda entry: entry.name)
    with claim_file(out, replaces) as claim:
        return claim.write(lambda file: _write(file, entries, _markers(model), _metadata(model)))


def _write(
    file: BinaryIO, entries: list[_Entry], markers: Mapping[str, Array], metadata: dict[str, str]
) -> None:
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in markers.items():
        dtype = DTYPE_NAMES[array.dtype]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    for entry in entries:
        size = sum(tensor.end - tensor.start for tensor in entry.parts)
        described = {"dtype": entry.parts[0].dtype, "shape": list(entry.shape)}
        header[entry.name] = described | {"data_offsets": [end, end + size]}
        end += size
    file.write(safetensors_header(header))
    for array in markers.values():
        file.write(array.tobytes())
    for entry in entries:
        for tensor in entry.parts:
            stored = entry.weights.stored(tensor)
            file.write(np.ascontiguousarray(stored.T if entry.is_transposed else stored).data)
        entry.weights.release()


def _tensors(component: Component) -> dict[str, Tensor]:
    """What a network is made of, by the names of its graph; what is scaled is refused."""
    found = component.tensors()
    scaled = next((tensor for tensor in found.values() if tensor.scale is not None), None)
    if scaled is not None:
        raise ModelError(
            f"{component.where}: tensor {scaled.name} is scaled; such weights are not written again"
        )
    return found


def _network(component: Component, prefix: str) -> Iterator[_Entry]:
    found = _tensors(component)
    options = component.options
    _check_heads(options, unet_config(found, component.where, {}))
    layers = options.per_level("layers_per_block", len(options.numbers("block_out_channels", (0,) * 4)), 2)
    if len(set(layers)) > 1:
        raise options.unsupported(
            "layers_per_block", layers, "as many in each level, to be written as one file"
        )
    for name, tensor in found.items():
        yield _entry(component, prefix, unet.to_ldm(name, layers[0], found), name, tensor)


def _check_heads(options: Options, read: Mapping[str, Any]) -> None:
    """Refuse a UNet that readers would take for another, since no tensor tells how many heads it has.

    Raises:
        ModelError: names what it has and what would be taken.
    """
    count = len(read["block_out_channels"])
    own = options.per_level("attention_head_dim", count, 8, high=MAX_SIZE)
    taken = Options(options.where, read).per_level("attention_head_dim", count, 8, high=MAX_SIZE)
    if own != taken:
        raise options.unsupported(
            "attention_head_dim", own, f"{taken}, which readers of single files take for granted"
        )


def _autoencoder(model: Model) -> Iterator[_Entry]:
    halves = [model.components[name] for name in ("vae_encoder", "vae_decoder")]
    found = {name: (tensor, half) for half in halves for name, tensor in _tensors(half).items()}
    count = vae.levels(found)
    for name, (tensor, half) in found.items():
        entry = _entry(half, _VAE, vae.to_ldm(name, count), name, tensor)
        shape = (
            (*entry.shape, 1, 1) if entry.name.endswith(_MATRICES) and len(entry.shape) == 2 else entry.shape
        )
        yield _Entry(entry.name, shape, entry.parts, entry.weights)


def _text_encoders(model: Model) -> Iterator[_Entry]:
    names = model.text_encoders
    for name in names:
        component = model.components[name]
        rows = component.options.number("vocab_size", _VOCABULARY)
        if rows < _VOCABULARY:
            raise component.options.unsupported(
                "vocab_size",
                rows,
                f"{_VOCABULARY} or more: a model in one file is read with CLIP's own vocabulary",
            )
        is_open_clip = component.config.get("hidden_act") == "gelu"
        if model.is_xl:
            place = names.index(name)
            prefix = f"conditioner.embedders.{place}." + ("model." if is_open_clip else "transformer.")
        else:
            prefix = "cond_stage_model." + ("model." if is_open_clip else "transformer.")
        found = _tensors(component)
        if not is_open_clip:
            for own, tensor in found.items():
                yield _entry(component, prefix, own, own, tensor)
            continue
        for theirs, parts in open_clip.to_open_clip(found).items():
            tensors = tuple(found[part] for part in parts)
            if len({tensor.dtype for tensor in tensors}) > 1:
                raise ModelError(
                    f"{component.where}: {', '.join(parts)} are stored in several types; they go into one"
                )
            transposed = theirs == "text_projection"
            shape = tensors[0].shape[::-1] if transposed else tensors[0].shape
            if len(tensors) > 1:
                shape = (sum(tensor.shape[0] for tensor in tensors), *shape[1:])
            yield _Entry(prefix + theirs, shape, tensors, component.weights, transposed)


def _entry(component: Component, prefix: str, theirs: str | None, own: str, tensor: Tensor) -> _Entry:
    if theirs is None:
        raise ModelError(
            f"{component.where}: tensor {own} has no name in the original code; it is not written as one file"
        )
    return _Entry(prefix + theirs, tensor.shape, (tensor,), component.weights)


def _markers(model: Model) -> dict[str, Array]:
    """Tensors that tell readers how an SDXL model predicts."""
    kind, config = model.scheduler_config.get("prediction_type", "epsilon"), model.scheduler_config
    vae_config = model.components["vae_decoder"].config
    empty = np.zeros(0, np.float32)
    if not model.is_xl:
        return {}
    if all(isinstance(vae_config.get(f"latents_{name}"), list) for name in ("mean", "std")):
        return {
            f"edm_{name}": np.array(vae_config[f"latents_{name}"], np.float32) for name in ("mean", "std")
        }
    if config.get("_class_name", "").startswith("EDM"):
        sigmas = {name: config.get(name) for name in ("sigma_max", "sigma_min")}
        return {
            f"edm_vpred.{name}": np.array(value, np.float32)
            for name, value in sigmas.items()
            if value is not None
        }
    if kind != "v_prediction":
        return {}
    return {"v_pred": empty} | ({"ztsnr": empty} if config.get("rescale_betas_zero_snr") is True else {})


def _metadata(model: Model) -> dict[str, str]:
    """What a reader may be told beside the tensors, in the keys of Stability AI's ModelSpec."""
    kind = str(model.scheduler_config.get("prediction_type", "epsilon"))
    return {
        "format": "pt",
        "modelspec.title": model.name,
        "modelspec.prediction_type": {"v_prediction": "v"}.get(kind, kind),
    }
