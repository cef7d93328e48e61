"""Writes checkpoints in one file, in the names of the original code: whole ones, or headers over nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from kinds import CLIP_L, KINDS, OPEN_CLIP_G, VAE, XL, Kind

from latentrt.models.keys import open_clip, unet, vae
from latentrt.models.safetensors import safetensors_header, write_safetensors
from latentrt.networks import build

Shapes = dict[str, tuple[int, ...]]
Array = np.ndarray[Any, Any]
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8}
UNET, FIRST_STAGE = "model.diffusion_model.", "first_stage_model."


@dataclass(frozen=True)
class Stored:
    """A tensor of a file.

    Attributes:
        part: whose it is: "unet", "vae", or the prefix of a text encoder.
        sources: the tensors that it is made of, one below the other, as diffusers and transformers name them.
        shape: as stored.
        is_transposed: its source is, too.
    """

    part: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    is_transposed: bool = False

    def of(self, arrays: Mapping[str, Array]) -> Array:
        made = np.concatenate([arrays[name] for name in self.sources])
        return (made.T if self.is_transposed else made).reshape(self.shape)


def shapes_of(network: str, config: Mapping[str, Any]) -> Shapes:
    """The tensors of a network, as its graph names them."""
    return dict(_shapes_of(network, json.dumps(config, sort_keys=True)))


@cache
def _shapes_of(network: str, config: str) -> Shapes:
    roles = ("vae_encoder", "vae_decoder") if network == "vae" else (network,)
    return {p.name: p.shape for role in roles for p in build(role, json.loads(config)).parameters}


def stored_unet(shapes: Shapes, layers: int, prefix: str = UNET) -> dict[str, Stored]:
    names = {name: unet.to_ldm(name, layers, shapes) for name in shapes}
    assert None not in names.values()
    return {f"{prefix}{theirs}": Stored("unet", (name,), shapes[name]) for name, theirs in names.items()}


def stored_vae(shapes: Shapes, prefix: str = FIRST_STAGE) -> dict[str, Stored]:
    """Its attention is of 1×1 convolutions there."""
    made = {}
    for name, shape in shapes.items():
        theirs = vae.to_ldm(name, vae.levels(shapes))
        assert theirs is not None
        axes = (1, 1) if ".attentions." in name and len(shape) == 2 else ()
        made[f"{prefix}{theirs}"] = Stored("vae", (name,), (*shape, *axes))
    return made


def stored_text(shapes: Shapes, prefix: str) -> dict[str, Stored]:
    """OpenCLIP's names below a prefix that ends in `model.`, else transformers'."""
    if not prefix.endswith("model."):
        return {f"{prefix}{name}": Stored(prefix, (name,), shape) for name, shape in shapes.items()}
    made = {}
    for theirs, own in open_clip.to_open_clip(shapes).items():
        rows = sum(shapes[name][0] for name in own)
        shape = (rows, *shapes[own[0]][1:])
        turned = theirs == "text_projection"
        made[f"{prefix}{theirs}"] = Stored(prefix, own, shape[::-1] if turned else shape, turned)
    return made


def stored(kind: Kind) -> dict[str, Stored]:
    """All tensors of a whole file of this kind."""
    return dict(_stored(json.dumps([kind.unet, kind.vae, kind.encoders])))


@cache
def _stored(configs: str) -> dict[str, Stored]:
    unet_config, vae_config, encoders = json.loads(configs)
    made = stored_unet(shapes_of("unet", unet_config), unet_config["layers_per_block"])
    made |= stored_vae(shapes_of("vae", vae_config))
    for prefix, config in encoders.items():
        made |= stored_text(shapes_of("text_encoder", config), prefix)
    return made


def write_header(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str = "F16",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A file of the size that its tensors take, of which only the header is on the disk."""
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for name, shape in shapes.items():
        size = prod(shape) * SIZES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    header = safetensors_header(entries)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + at)
    return path


def write_kind(path: Path, kind: Kind, metadata: Mapping[str, str] | None = None, **more: Any) -> Path:
    """A whole file of a kind at full size, of which only the header is there; `more`: shapes of further tensors."""
    shapes = {name: tensor.shape for name, tensor in stored(kind).items()}
    return write_header(path, shapes | more, metadata=metadata)


def write_small_xl(path: Path) -> Path:
    """SDXL's networks in small, with random numbers: joined and transposed tensors, and 1×1 convolutions."""
    narrow = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1}
    first = {**CLIP_L, **narrow, "num_hidden_layers": 2}
    second = {**OPEN_CLIP_G, **narrow, "num_hidden_layers": 2, "projection_dim": 64}
    unet = {**XL, "block_out_channels": [64, 64], "down_block_types": XL["down_block_types"][:2],
            "up_block_types": XL["up_block_types"][1:], "attention_head_dim": [1, 1], "layers_per_block": 1,
            "cross_attention_dim": 128, "transformer_layers_per_block": [1, 1],
            "projection_class_embeddings_input_dim": 64 + 6 * 256}  # fmt: skip
    levels = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    small_vae = {**VAE, **levels, "block_out_channels": [32, 32], "layers_per_block": 1}
    xl = KINDS["sdxl"]
    kind = replace(
        xl, unet=unet, vae=small_vae, encoders=dict(zip(xl.encoders, (first, second), strict=True))
    )
    rng = np.random.default_rng(0)
    shapes = {"unet": shapes_of("unet", unet), "vae": shapes_of("vae", small_vae)}
    shapes |= {prefix: shapes_of("text_encoder", config) for prefix, config in kind.encoders.items()}
    arrays = {
        part: {name: (0.05 * rng.standard_normal(shape)).astype(np.float16) for name, shape in of.items()}
        for part, of in shapes.items()
    }
    write_safetensors(path, {name: t.of(arrays[t.part]) for name, t in stored(kind).items()})
    return path
