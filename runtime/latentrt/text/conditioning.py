"""From token ids to what the UNet is told of a text."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.engine.runner import Runner
from latentrt.models.component import Component
from latentrt.models.model import Model

Array = npt.NDArray[Any]
# Arrays by the ports of the UNet that take them: `encoder_hidden_states` (s, d), of XL models `text_embeds` (p,) and
# `time_ids` (n,); with a batch in front where they are fed.
Conditioning: TypeAlias = Mapping[str, Array]


def hidden_states(runner: Runner, ids: Array, clip_skip: int = 0, beyond: bool = False) -> Array:
    """Hidden states (b, s, d), float32, of token ids.

    Args:
        runner: runs `text_encoder`.
        ids: int64 (b, s).
        clip_skip: how many of the last layers to leave out, as diffusers counts: 0 takes the last, 1 the one
            before it (AUTOMATIC1111's "Clip skip: 2"). The final layer norm is applied in either case.
        beyond: where no layer is left, take the last.
    """
    if not clip_skip or (beyond and clip_skip >= _layers(runner)):
        return runner.run({"input_ids": ids}, ["last_hidden_state"])["last_hidden_state"]
    name = _state(runner, clip_skip)
    return _final_layer_norm(runner.component, runner.run({"input_ids": ids}, [name])[name])


def xl_conditioning(
    runner: Runner, ids: Array, clip_skip: int = 0, pools: bool = False, beyond: bool = False
) -> Conditioning:
    """What SDXL's UNet is told: states of one layer earlier, without the final layer norm, (b, s, d).

    Args:
        runner: runs one of its text encoders.
        ids: int64 (b, s).
        clip_skip: as `hidden_states`.
        pools: and the text in one row, (b, p), the state at its end, projected.
        beyond: where no layer is left, take the last, with the final layer norm.
    """
    fallen = beyond and clip_skip + 1 >= _layers(runner)
    state = "last_hidden_state" if fallen else _state(runner, clip_skip + 1)
    outputs = runner.run({"input_ids": ids}, [state, "text_embeds"] if pools else [state])
    outputs["encoder_hidden_states"] = outputs.pop(state)
    return outputs


def told_by(
    model: Model, runner: Runner, ids: Array, clip_skip: int = 0, beyond: bool = False
) -> Conditioning:
    """What one of a model's text encoders tells the UNet of token ids (b, s); of an XL model, the last pools."""
    if not model.is_xl:
        return {"encoder_hidden_states": hidden_states(runner, ids, clip_skip, beyond)}
    pools = runner.component.name == model.text_encoders[-1]
    return xl_conditioning(runner, ids, clip_skip, pools, beyond)


def _state(runner: Runner, skipped: int) -> str:
    return f"hidden_states.{_layers(runner) - skipped}"  # hidden_states.0 is the embedding


def _layers(runner: Runner) -> int:
    return runner.component.options.count("num_hidden_layers", 12)


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
