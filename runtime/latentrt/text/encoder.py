"""Prompts to conditioning, each computed once."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from latentrt.engine.networks import Networks
from latentrt.errors import ModelError
from latentrt.models.component import Component
from latentrt.text.conditioning import Array, Conditioning, told_by
from latentrt.text.rows import Rows, level, one_row
from latentrt.text.tokenizer import Encoding, Tokenizer, clip_tokenizer, load_tokenizer

_KEPT = 16  # prompts; 240 kB each at Stable Diffusion 1.5's size, 640 kB at SDXL's

# One text for every encoder, or one for each.
Texts: TypeAlias = str | Sequence[str]


# The token ids of a prompt, the layers that are left out, and whether more may be than there are.
_Key: TypeAlias = tuple[bytes, int, bool]


class PromptTruncated(UserWarning):
    """A prompt was longer than the text encoder takes; the message says which, and what of it was left out."""


class TextEncoder:
    """A model's tokenizers and text encoders, which keep what they computed for the prompts last asked for.

    Prompts go through one by one, so that what comes of one does not depend on its neighbours.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._kept: dict[_Key, Conditioning] = {}  # used last, last

    @property
    def tokenizer(self) -> Tokenizer:
        """The first text encoder's."""
        return self.tokenizers[0]

    @cached_property
    def tokenizers(self) -> tuple[Tokenizer, ...]:
        """That of each text encoder; of `text_encoder_2` it is in the folder `tokenizer_2`."""
        return tuple(map(self._tokenizer, self._components))

    def _tokenizer(self, component: Component) -> Tokenizer:
        model, length = self._networks.model, component.options.number("max_position_embeddings", 77)
        folder = model.root / component.name.replace("text_encoder", "tokenizer")
        pad = model.pad_tokens.get(component.name)
        if pad is not None and not folder.is_dir():
            return clip_tokenizer(pad, length)
        return load_tokenizer(folder, length, pad)

    def open(self) -> None:
        """Read the tokenizers now, so that what is wrong with one shows before anything is computed.

        Raises:
            ModelError: one is missing, or is none.
        """
        if not self.tokenizers:
            raise ModelError(f"{self._networks.model.name}: has no text encoder")

    def encode(
        self,
        prompts: Sequence[Texts],
        clip_skip: int | None = None,
        called: Sequence[str] | None = None,
        rows: Rows = one_row,
        beyond: bool = False,
    ) -> list[Conditioning]:
        """What the UNet is told of each prompt. Networks are loaded and run for new prompts alone.

        Args:
            prompts: what is cut off of one gives a `PromptTruncated` warning that says what was lost.
            clip_skip: see `hidden_states`.
            called: what that warning calls each of them; None: "prompt" for all.
            rows: makes rows of token ids of a prompt. The states of several lie one behind the other; the text in one
                row is that of the first.
            beyond: see `hidden_states`.

        Returns:
            for each prompt, arrays without a batch in front.

        Raises:
            ModelError: a prompt holds a token that a text encoder has no row for.
        """
        called = ["prompt"] * len(prompts) if called is None else called
        skipped = 0 if clip_skip is None else clip_skip
        read = [self._tokenized(texts, name, rows) for texts, name in zip(prompts, called, strict=True)]
        keys = [
            (b"".join(row.ids.tobytes() for own in each for row in own), skipped, beyond) for each in read
        ]
        made = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: each for key, each in zip(keys, read, strict=True) if key not in made}
        said: dict[_Key, list[Conditioning]] = {key: [] for key in missing}
        for index, component in enumerate(self._components):
            with self._networks.stage(component.name) as runner:
                for key, each in missing.items():
                    told = [
                        told_by(self._networks.model, runner, row.ids[None], skipped, beyond)
                        for row in each[index]
                    ]
                    said[key].append(_in_a_row(told))
        made |= {key: _joined(parts) for key, parts in said.items()}
        older = [(key, kept) for key, kept in self._kept.items() if key not in made]
        self._kept = dict([*older, *made.items()][-_KEPT:])
        return [{name: value.copy() for name, value in made[key].items()} for key in keys]

    def count_rows(self, texts: Texts, rows: Rows) -> int:
        """How many rows of the text encoders a prompt takes."""
        pairs = zip(self.tokenizers, self._apart(texts), strict=True)
        return max(len(rows(tokenizer, text)) for tokenizer, text in pairs)

    def forget(self) -> None:
        """Free what is kept."""
        self._kept = {}

    @property
    def _components(self) -> list[Component]:
        model = self._networks.model
        return [model.components[name] for name in model.text_encoders]

    def _apart(self, texts: Texts) -> Sequence[str]:
        return [texts] * len(self.tokenizers) if isinstance(texts, str) else texts

    def _tokenized(self, texts: Texts, called: str, rows: Rows) -> list[list[Encoding]]:
        """The rows of a prompt, for each text encoder."""
        texts = self._apart(texts)
        made = [rows(tokenizer, text) for tokenizer, text in zip(self.tokenizers, texts, strict=True)]
        told = set()
        for text, tokenizer, own, component in zip(
            texts, self.tokenizers, made, self._components, strict=True
        ):
            for row in own:
                _refuse_rowless(called, tokenizer, row, component)
                if row.truncated and (text, row.truncated) not in told:
                    told.add((text, row.truncated))
                    warnings.warn(
                        f"the {called} is longer than the {tokenizer.max_length} tokens that this model takes; "
                        f"cut off: {row.truncated!r}",
                        PromptTruncated,
                        stacklevel=3,
                    )
        return level(made, self.tokenizers)


def _in_a_row(told: Sequence[Conditioning]) -> Conditioning:
    """What a text encoder says of several rows, (1, …) each: their states one behind the other, else the first's."""
    states = np.concatenate([one["encoder_hidden_states"] for one in told], axis=1)
    return {**told[0], "encoder_hidden_states": states}


def _joined(parts: Sequence[Conditioning]) -> Conditioning:
    """What several text encoders say, as one: their states side by side."""
    said: dict[str, Array] = {name: value[0] for part in parts for name, value in part.items()}
    if len(parts) > 1:
        said["encoder_hidden_states"] = np.concatenate(
            [part["encoder_hidden_states"][0] for part in parts], axis=-1
        )
    return said


def _refuse_rowless(called: str, tokenizer: Tokenizer, encoding: Encoding, component: Component) -> None:
    """Refuse a token that was added to the tokenizer, and not to the text encoder.

    Raises:
        ModelError: names it.
    """
    rows = component.options.number("vocab_size", 49408)
    rowless = encoding.ids[encoding.ids >= rows]
    if len(rowless):
        raise ModelError(
            f"{component.where}: the {called}'s token {tokenizer.token(int(rowless[0]))!r} has the id "
            f"{rowless[0]}, and the text encoder has rows for {rows} tokens alone (vocab_size): its embedding is "
            "missing. Write the prompt without it, or take the text encoder that it was added to"
        )
