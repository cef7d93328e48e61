"""From token ids to what the UNet attends to."""

from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.runner import Runner
from latentrt.models.bundle import Component

Array = npt.NDArray[Any]


def hidden_states(runner: Runner, ids: Array, clip_skip: int = 0) -> Array:
    """Hidden states (b, s, d), float32, of token ids.

    Args:
        runner: runs `text_encoder`.
        ids: int64 (b, s).
        clip_skip: how many of the last layers to leave out, as diffusers counts: 0 takes the last, 1 the one
            before it (AUTOMATIC1111's "Clip skip: 2"). The final layer norm is applied in either case.
    """
    if not clip_skip:
        return runner.run({"input_ids": ids}, ["last_hidden_state"])["last_hidden_state"]
    layers = runner.component.options.count("num_hidden_layers", 12)
    name = f"hidden_states.{layers - clip_skip}"  # hidden_states.0 is the embedding
    return _final_layer_norm(runner.component, runner.run({"input_ids": ids}, [name])[name])


def _final_layer_norm(component: Component, states: Array) -> Array:
    """CLIP's last layer norm, over the last axis; the graph applies it to the last layer only."""
    weight, bias = (
        component.weights.array(f"text_model.final_layer_norm.{part}", np.float32)
        for part in ("weight", "bias")
    )
    centered = states - states.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    normed: Array = (
        centered / np.sqrt(variance + component.options.real("layer_norm_eps", 1e-5, low=0)) * weight + bias
    )
    return normed
