"""What the UNet is told of a request's prompts."""

import numpy as np

from latentrt.painting.request import Request
from latentrt.text.conditioning import Conditioning
from latentrt.text.encoder import TextEncoder


def condition(text: TextEncoder, request: Request) -> tuple[Conditioning | None, Conditioning]:
    """Of the negative prompt, None where nothing is guided by it, and of the prompt; no batch in front."""
    texts = request.texts(len(text.tokenizers))
    *others, prompt = text.encode([*texts.values()], request.clip_skip, [*texts])
    negative: Conditioning | None = others[0] if others else None
    if request.zeroes_negative and request.takes_negative:
        negative = {name: np.zeros_like(value) for name, value in prompt.items()}
    if request.time_ids is not None:
        own, other = request.time_ids
        prompt = {**prompt, "time_ids": own}
        negative = None if negative is None else {**negative, "time_ids": other}
    return negative, prompt


def repeated(conditioning: Conditioning, count: int) -> Conditioning:
    """The same for each picture of a batch."""
    return {name: np.repeat(value[None], count, axis=0) for name, value in conditioning.items()}
