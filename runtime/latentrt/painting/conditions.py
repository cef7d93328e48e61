"""What the UNet is told of a request's prompts."""

import math

import numpy as np

from latentrt.errors import SettingError
from latentrt.models.model import Model
from latentrt.painting.request import Request
from latentrt.text.conditioning import Conditioning
from latentrt.text.encoder import TextEncoder

_MOST_REPEATED = 4  # times the shorter, as ComfyUI has it


def condition(text: TextEncoder, request: Request) -> tuple[Conditioning | None, Conditioning]:
    """Of the negative prompt, None where nothing is guided by it, and of the prompt; no batch in front."""
    encoders = len(text.tokenizers)
    texts = request.texts(encoders)
    pads = request.settings["pad_prompts"] and request.takes_negative
    read = {**texts, "empty prompt": ("",) * encoders} if pads else texts
    beyond = request.program is not None and request.program.most_clip_skip is not None
    encoded = text.encode([*read.values()], request.clip_skip, [*read], request.text_rows, beyond)
    told = dict(zip(read, encoded, strict=True))
    prompt, negative = told["prompt"], told.get("negative prompt")
    if request.zeroes_negative and request.takes_negative:
        negative = {name: np.zeros_like(value) for name, value in prompt.items()}
    if negative is not None and request.settings["pad_prompts_v0"]:
        negative = ended(negative, _length(prompt))
    elif negative is not None and pads:
        negative, prompt = padded(negative, prompt, told["empty prompt"])
    elif negative is not None and request.program is not None and request.program.unequal == "repeated":
        negative, prompt = levelled(negative, prompt)
    if request.low_res is not None:
        label = {"class_labels": np.asarray(request.low_res.level, np.int64)}
        prompt = {**prompt, **label}
        negative = None if negative is None else {**negative, **label}
    if request.time_ids is not None:
        own, other = request.time_ids
        prompt = {**prompt, "time_ids": own}
        negative = None if negative is None else {**negative, "time_ids": other}
    return negative, prompt


def padded(
    negative: Conditioning, prompt: Conditioning, nothing: Conditioning
) -> tuple[Conditioning, Conditioning]:
    """The shorter filled up with the states of empty prompts."""
    most = max(_length(negative), _length(prompt))

    def filled(told: Conditioning) -> Conditioning:
        missing = (most - _length(told)) // _length(nothing)
        rows = [told["encoder_hidden_states"], *[nothing["encoder_hidden_states"]] * missing]
        return {**told, "encoder_hidden_states": np.concatenate(rows)}

    return filled(negative), filled(prompt)


def ended(negative: Conditioning, length: int) -> Conditioning:
    """Of that length: the last state repeated, or the rest cut off."""
    states = negative["encoder_hidden_states"]
    rest = np.repeat(states[-1:], max(length - len(states), 0), axis=0)
    return {**negative, "encoder_hidden_states": np.concatenate([states[:length], rest])}


def levelled(negative: Conditioning, prompt: Conditioning) -> tuple[Conditioning, Conditioning]:
    """Each repeated to a common length, where there is one that is not too much more.

    What is attended to several times is attended to no more, so that all that changes is that both go through at once.
    """
    length = common_length(_length(negative), _length(prompt))
    if length is None:
        return negative, prompt

    def tiled(told: Conditioning) -> Conditioning:
        states = told["encoder_hidden_states"]
        return {**told, "encoder_hidden_states": np.tile(states, (length // len(states), 1))}

    return tiled(negative), tiled(prompt)


def common_length(one: int, other: int) -> int | None:
    """The least common multiple; None where that is more than four times the shorter."""
    common = math.lcm(one, other)
    return common if common <= _MOST_REPEATED * min(one, other) else None


def _length(told: Conditioning) -> int:
    return len(told["encoder_hidden_states"])


def check_length(text: TextEncoder, request: Request, model: Model) -> None:
    """Refuse a prompt of several rows where the UNet takes one, before anything is computed.

    Raises:
        SettingError: says which prompt it is.
    """
    if model.fixed_tokens is None:
        return
    for name, texts in request.texts(len(text.tokenizers)).items():
        rows = text.count_rows(texts, request.text_rows)
        if rows > 1:
            raise SettingError(
                name.replace(" ", "_"),
                f"takes {rows} rows of the text encoder, and {model.name}'s UNet was exported for {model.fixed_tokens} "
                "tokens; expected one that fits a row, or like diffusers, which cuts it",
                others=("like",),
            )


def repeated(conditioning: Conditioning, count: int) -> Conditioning:
    """The same for each picture of a batch."""
    return {name: np.repeat(value[None], count, axis=0) for name, value in conditioning.items()}
