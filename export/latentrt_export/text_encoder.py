"""CLIPTextModel, from its config.json to an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from latentrt_export.emitter import Compute, Emitter
from latentrt_export.layers import attention, layer_norm, linear
from latentrt_export.options import Options

LEGACY_EOS = 2  # transformers' wrong default before 4.31: the end of text is then the highest id instead


def build_text_encoder(config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """Token ids (b, s) → last_hidden_state, pooler_output, and every hidden state before the final norm.

    Raises:
        ModelError: a setting of `config` that has no graph here, named.
    """
    o = Options("text_encoder", config)
    o.only("hidden_act", "quick_gelu", "gelu")
    width, heads = o.number("hidden_size", 512), o.number("num_attention_heads", 8)
    if width % heads:
        raise o.unsupported("num_attention_heads", heads, f"a divisor of hidden_size {width}")
    inner, layers = o.number("intermediate_size", 2048), o.number("num_hidden_layers", 12)
    vocabulary, positions = o.number("vocab_size", 49408), o.number("max_position_embeddings", 77)
    eps = float(o.get("layer_norm_eps", 1e-5))
    quick = o.get("hidden_act", "quick_gelu") == "quick_gelu"

    e = Emitter(compute)
    hidden = ("batch", "sequence", width)
    ids = e.input("input_ids", ("batch", "sequence"), TensorProto.INT64)
    states: list[str] = []
    with e.scope("text_model"):
        with e.scope("embeddings"):
            length = e.op("Shape", ids, start=1, end=2)
            tokens = e.op("Gather", e.param("token_embedding.weight", vocabulary, width), ids, axis=0)
            table = e.param("position_embedding.weight", positions, width)
            h = e.op("Add", tokens, e.op("Slice", table, e.ints(0), length, e.ints(0)))
            mask = _causal_mask(e, length)
        states.append(h)
        for layer in range(layers):
            with e.scope(f"encoder.layers.{layer}"):
                x = layer_norm(e, h, "layer_norm1", width, eps)
                with e.scope("self_attn"):
                    q, k, v = (linear(e, x, name, width, width) for name in ("q_proj", "k_proj", "v_proj"))
                    x = linear(e, attention(e, q, k, v, heads, width, mask), "out_proj", width, width)
                h = e.op("Add", h, x)
                x = layer_norm(e, h, "layer_norm2", width, eps)
                with e.scope("mlp"):
                    x = linear(e, x, "fc1", width, inner)
                    x = _quick_gelu(e, x) if quick else e.op("Gelu", x)
                    x = linear(e, x, "fc2", inner, width)
                h = e.op("Add", h, x)
            states.append(h)
        last = layer_norm(e, h, "final_layer_norm", width, eps)
    pooled = e.op("GatherND", last, _end_of_text(e, ids, int(o.get("eos_token_id", 49407))), batch_dims=1)
    e.output("last_hidden_state", last, hidden)
    e.output("pooler_output", pooled, ("batch", width))
    for index, state in enumerate(states):
        e.output(f"hidden_states.{index}", state, hidden)
    return e.model("text_encoder")


def _quick_gelu(e: Emitter, x: str) -> str:
    return e.op("Mul", x, e.op("Sigmoid", e.op("Mul", x, e.scalar(1.702))))


def _causal_mask(e: Emitter, length: str) -> str:
    """(s, s): 0 up to the diagonal, above it the lowest number, which a softmax turns into exactly 0."""
    numpy_float = np.float16 if e.compute == "fp16" else np.float32
    count = e.op("Squeeze", length)
    positions = e.op("Range", e.int_scalar(0), count, e.int_scalar(1))
    future = e.op("Less", e.op("Unsqueeze", positions, e.ints(1)), positions)
    lowest = float(np.finfo(numpy_float).min)
    return e.op("Where", future, e.scalar(lowest), e.scalar(0.0))


def _end_of_text(e: Emitter, ids: str, eos: int) -> str:
    """(b, s) → (b, 1): where the end-of-text token first stands. In float32: not every provider has integer ArgMax."""
    if eos == LEGACY_EOS:
        scores = e.cast(ids, TensorProto.FLOAT)
    else:
        scores = e.cast(e.op("Equal", ids, e.int_scalar(eos)), TensorProto.FLOAT)
    return e.op("ArgMax", scores, axis=1, keepdims=1)
