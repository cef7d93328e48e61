"""Prompts to conditioning, each computed once."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.networks import Networks
from latentrt.errors import ModelError
from latentrt.text.conditioning import hidden_states
from latentrt.text.tokenizer import Encoding, Tokenizer, load_tokenizer

Array = npt.NDArray[Any]

_KEPT = 16  # prompts; 240 kB each at Stable Diffusion 1.5's size


class PromptTruncated(UserWarning):
    """A prompt was longer than the text encoder takes; the message says which, and what of it was left out."""


class TextEncoder:
    """A model's tokenizer and text encoder, which keeps what it computed for the prompts last asked for.

    Prompts go through one by one, so that what comes of one does not depend on its neighbours.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._kept: dict[tuple[bytes, int], Array] = {}  # used last, last

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        model = self._networks.model
        return load_tokenizer(model.root / "tokenizer", model.text_positions)

    def encode(
        self, prompts: Sequence[str], clip_skip: int | None = None, called: Sequence[str] | None = None
    ) -> Array:
        """Hidden states (len(prompts), s, d), float32. The network is loaded and run for new prompts alone.

        Args:
            prompts: each is cut at the tokenizer's limit with a `PromptTruncated` warning that says what was lost.
            clip_skip: see `hidden_states`.
            called: what that warning calls each of them; None: "prompt" for all.
        """
        called = ["prompt"] * len(prompts) if called is None else called
        encodings = [self.tokenizer.encode(prompt) for prompt in prompts]
        for name, encoding in zip(called, encodings, strict=True):
            self._refuse_rowless(name, encoding)
            if encoding.truncated:
                warnings.warn(
                    f"the {name} is longer than the {self.tokenizer.max_length} tokens that this model takes; "
                    f"cut off: {encoding.truncated!r}",
                    PromptTruncated,
                    stacklevel=2,
                )
        skipped = 0 if clip_skip is None else clip_skip
        ids = {(encoding.ids.tobytes(), skipped): encoding.ids for encoding in encodings}
        states = {key: self._kept[key] for key in ids if key in self._kept}
        with self._networks.stage("text_encoder") as runner:
            for key, row in ids.items():
                if key not in states:
                    states[key] = hidden_states(runner, row[None], skipped)[0]
        older = [(key, kept) for key, kept in self._kept.items() if key not in states]
        self._kept = dict([*older, *states.items()][-_KEPT:])
        return np.stack([states[encoding.ids.tobytes(), skipped] for encoding in encodings])

    def forget(self) -> None:
        """Free what is kept."""
        self._kept = {}

    def _refuse_rowless(self, name: str, encoding: Encoding) -> None:
        """Refuse a token that was added to the tokenizer, and not to the text encoder.

        Raises:
            ModelError: names it.
        """
        model = self._networks.model
        rowless = encoding.ids[encoding.ids >= model.vocab_size]
        if len(rowless):
            path = model.components["text_encoder"].config_path
            raise ModelError(
                f"{model.root / 'tokenizer'}: the {name}'s token {self.tokenizer.token(int(rowless[0]))!r} has the id "
                f"{rowless[0]}, and the text encoder has rows for {model.vocab_size} tokens alone (vocab_size of "
                f"{path}): its embedding is missing. Write the prompt without it, or take the text encoder that it "
                "was added to"
            )
