"""From a prompt to what the UNet attends to."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.runner import Runner
from latentrt.models.bundle import Component
from latentrt.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]


class PromptTruncated(UserWarning):
    """A prompt was longer than the text encoder takes; the message says what was cut."""


def encode_prompts(
    runner: Runner, tokenizer: Tokenizer, prompts: list[str], clip_skip: int | None = None
) -> Array:
    """Hidden states (len(prompts), s, d), float32, of prompts.

    Args:
        runner: runs `text_encoder`.
        tokenizer: the model's.
        prompts: each is cut at the tokenizer's limit with a `PromptTruncated` warning that says what was lost.
        clip_skip: how many of the last layers to leave out, as diffusers counts: None or 0 takes the last,
            1 the one before it (AUTOMATIC1111's "Clip skip: 2"). The final layer norm is applied in either case.
    """
    encodings = [tokenizer.encode(prompt) for prompt in prompts]
    for encoding in encodings:
        if encoding.truncated:
            warnings.warn(
                f"the prompt is longer than the {tokenizer.max_length} tokens that this model takes; "
                f"cut off: {encoding.truncated!r}",
                PromptTruncated,
                stacklevel=2,
            )
    ids = np.stack([encoding.ids for encoding in encodings])
    session = runner.session({"input_ids": ids.shape})
    if not clip_skip:
        return session.run({"input_ids": ids}, ["last_hidden_state"])["last_hidden_state"]
    last = sum(name.startswith("hidden_states.") for name in session.outputs) - 1
    name = f"hidden_states.{last - clip_skip}"  # hidden_states.0 is the embedding
    return _final_layer_norm(runner.component, session.run({"input_ids": ids}, [name])[name])


def _final_layer_norm(component: Component, states: Array) -> Array:
    """CLIP's last layer norm, over the last axis; the graph applies it to the last layer only."""
    weight, bias = (
        component.weights.array(f"text_model.final_layer_norm.{part}", np.float32)
        for part in ("weight", "bias")
    )
    centered = states - states.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    normed: Array = centered / np.sqrt(variance + component.number("layer_norm_eps", 1e-5)) * weight + bias
    return normed
