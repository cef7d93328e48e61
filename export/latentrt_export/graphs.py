"""From a component's config.json to its weight-free graph.

The graphs are written node by node (`unet.py`, `autoencoder.py`, `text_encoder.py`, …), not traced: neither torch nor
weights are needed, no traced size can be baked in, and the same configuration gives the same bytes. That they compute
what diffusers and transformers compute is proven at every export (`parity.py`).
"""

import gzip
from collections.abc import Callable, Mapping
from typing import Any

import onnx

from latentrt.errors import ModelError
from latentrt_export.autoencoder import build_vae_decoder, build_vae_encoder
from latentrt_export.emitter import Compute
from latentrt_export.taesd import build_taesd_decoder
from latentrt_export.text_encoder import build_text_encoder
from latentrt_export.unconditional import build_unconditional_unet
from latentrt_export.unet import build_unet

BUILDERS: dict[str, Callable[[Mapping[str, Any], Compute], onnx.ModelProto]] = {
    "text_encoder": build_text_encoder,
    "unet": build_unet,
    "vae_encoder": build_vae_encoder,
    "vae_decoder": build_vae_decoder,
    "taesd_decoder": build_taesd_decoder,
    "unconditional_unet": build_unconditional_unet,
}
COMPUTES: tuple[Compute, ...] = ("fp16", "fp32")


def build_graph(component: str, config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """The weight-free graph of one component, in the format of docs/architecture.md.

    Args:
        component: a key of `BUILDERS`.
        config: its config.json; both halves of the VAE have the same.
        compute: "fp16" or "fp32", what the graph computes in; its parameters are FLOAT16 in both.

    Raises:
        ModelError: unknown component, or a setting that has no graph here, named.
    """
    if component not in BUILDERS:
        raise ModelError(f"{component}: no such component; expected one of {', '.join(BUILDERS)}")
    return BUILDERS[component](config, compute)


def parameter_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The parameters of a graph: checkpoint name → shape, in the graph's order."""
    external = onnx.TensorProto.EXTERNAL
    return {t.name: tuple(t.dims) for t in model.graph.initializer if t.data_location == external}


def serialize(model: onnx.ModelProto) -> bytes:
    """The ONNX bytes, the same for the same model."""
    return model.SerializeToString(deterministic=True)


def compress(data: bytes) -> bytes:
    """Gzip without a time stamp or name: the same bytes for the same graph."""
    return gzip.compress(data, compresslevel=9, mtime=0)
