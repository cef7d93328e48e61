"""CLIP's tokenizer: a prompt becomes a row of token ids of fixed length.

The reference is transformers 5's `CLIPTokenizer` (since that version there is one, on the `tokenizers` library): the
same text gives the same ids here. The slow tokenizer of transformers 4 first repaired mojibake where ftfy was
installed, and OpenAI's original also unescapes HTML entities; the reference does neither: `&amp;` stays as it is.

Two things that look odd are the reference's own:

- A special token written in a prompt (`<|endoftext|>`) is that token, not text.
- Where the padding token is an ordinary sign, as `!` in Stable Diffusion 2, that sign in a prompt pads too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding as BackendEncoding
from tokenizers import Tokenizer as Backend

from latentrt.errors import InputError, ModelError
from latentrt.files import TOKENIZER, read_json
from latentrt.text.vocabulary import add_roles, add_special_tokens, clip_backend, read_backend


@dataclass(frozen=True)
class Encoding:
    """A prompt as token ids.

    Attributes:
        ids: int64 (max_length,): begin, the prompt's tokens, end, then padding.
        num_tokens: how many of them are not padding; begin and end count.
        truncated: the end of the prompt that did not fit, exactly as it was written; empty when all did.
    """

    ids: NDArray[np.int64]
    num_tokens: int
    truncated: str


class Tokenizer:
    """Turns prompts into token ids; made by `load_tokenizer`.

    Attributes:
        max_length: how many ids each prompt becomes.
        bos_id, eos_id, pad_id: the ids that begin, end and fill up a row.
        vocab_size: one more than the largest id.
    """

    def __init__(self, backend: Backend, *, max_length: int, bos_id: int, eos_id: int, pad_id: int) -> None:
        self._backend = backend
        self.max_length = max_length
        self.bos_id = bos_id
        self.eos_id = eos_id
        self.pad_id = pad_id
        self.vocab_size = 1 + max(backend.get_vocab(with_added_tokens=True).values())

    def token(self, index: int) -> str:
        """The token of an id, as the files write it."""
        return str(self._backend.id_to_token(index))

    def encode(self, prompt: str) -> Encoding:
        """Tokenize one prompt, cut at `max_length` and padded to it.

        Raises:
            InputError: `prompt` is not a string, or holds half a surrogate pair.
        """
        encoded = self._encoded(prompt)
        room = self.max_length - 2
        truncated = prompt[encoded.offsets[room][0] :] if len(encoded.ids) > room else ""
        return replace(self.row(encoded.ids[:room]), truncated=truncated)

    def ids(self, prompt: str) -> list[int]:
        """The tokens of a prompt, however many, without begin and end.

        Raises:
            InputError: as `encode`.
        """
        return list(self._encoded(prompt).ids)

    def row(self, tokens: Sequence[int]) -> Encoding:
        """A row of tokens, `max_length` − 2 at the most, begun, ended and padded."""
        ids = np.full(self.max_length, self.pad_id, np.int64)
        ids[: len(tokens) + 2] = [self.bos_id, *tokens, self.eos_id]
        return Encoding(ids, len(tokens) + 2, "")

    def id_of(self, token: str) -> int | None:
        """The id of a token, as the files write it; None where the vocabulary has none."""
        index: int | None = self._backend.token_to_id(token)
        return index

    def _encoded(self, prompt: str) -> BackendEncoding:
        if not isinstance(prompt, str):
            raise InputError(f"prompt: expected a string, got {type(prompt).__name__}")
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = f"{prompt[error.start]!r} at position {error.start}"
            raise InputError(f"prompt: not valid Unicode text ({bad}); give it as UTF-8") from None
        return self._backend.encode(prompt, add_special_tokens=False)


def load_tokenizer(
    folder: Path | str, max_position_embeddings: int | None = None, pad_token: str | None = None
) -> Tokenizer:
    """Read a CLIP tokenizer from `tokenizer.json`, or else from `vocab.json` and `merges.txt`.

    The special tokens and the length come from `tokenizer_config.json` and `special_tokens_map.json`, where there.

    Args:
        folder: the model's `tokenizer` folder.
        max_position_embeddings: what the text encoder can take. It is the length where the files name none, and
            caps the one they name (some say 10^30).
        pad_token: what fills up a row where no file says anything of special tokens; None: CLIP's own.

    Raises:
        ModelError: a file is missing, too large, malformed, or lacks what it must have; the message names it.
    """
    folder = Path(folder)
    config = read_json(folder / "tokenizer_config.json", optional=True, kind=TOKENIZER)
    if pad_token is not None and not config and not (folder / "special_tokens_map.json").exists():
        config = {"pad_token": pad_token}
    backend = read_backend(folder)
    special = add_special_tokens(backend, folder, config)
    return Tokenizer(
        backend,
        max_length=_max_length(folder, config, max_position_embeddings),
        bos_id=_token_id(backend, folder, "bos_token", special),
        eos_id=_token_id(backend, folder, "eos_token", special),
        pad_id=_token_id(backend, folder, "pad_token", special),
    )


def clip_tokenizer(pad_token: str = "<|endoftext|>", max_length: int = 77) -> Tokenizer:
    """CLIP's own tokenizer, for models whose files bring none.

    Args:
        pad_token: fills up a row; that of OpenCLIP's text encoders is "!".
        max_length: what the text encoder takes.
    """
    backend, name = clip_backend(), "CLIP's vocabulary"
    special = add_roles(backend, {"pad_token": pad_token}, {}, name)
    roles = ("bos", "eos", "pad")
    bos, eos, pad = (_token_id(backend, name, f"{role}_token", special) for role in roles)
    return Tokenizer(backend, max_length=max_length, bos_id=bos, eos_id=eos, pad_id=pad)


def _token_id(backend: Backend, folder: Path | str, role: str, special: Mapping[str, str]) -> int:
    content = special.get(role)
    index = None if content is None else backend.token_to_id(content)
    if index is None:
        raise ModelError(f"{folder}: the vocabulary lacks the {role} that the tokenizer's files name")
    return index


def _max_length(folder: Path, config: Mapping[str, Any], max_position_embeddings: int | None) -> int:
    length = config.get("model_max_length", config.get("max_len"))
    if length is not None and (
        isinstance(length, bool) or not isinstance(length, int | float) or not length >= 3
    ):
        raise ModelError(
            f"{folder / 'tokenizer_config.json'}: model_max_length: expected 3 or more, got {length!r}"
        )
    known = [int(n) for n in (length, max_position_embeddings) if n is not None and n < 2**20]
    if not known:
        raise ModelError(
            f"{folder}: no model_max_length in tokenizer_config.json, and the text encoder names none either"
        )
    return min(known)
