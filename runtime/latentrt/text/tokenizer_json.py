"""`tokenizer.json` of a CLIP tokenizer, read as data and held to CLIP's shape.

The `tokenizers` library compiles whatever such a file says: regular expressions, normalizers in normalizers. 15 kB of
these end the process, past any `except`. So its reader is not used: vocabulary, merges and added tokens are taken from
the file, and the rest has to be one of the few ways in which CLIP's tokenizers are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.files import TOKENIZER, read_json

# How text is parted: words, single digits, runs of other signs; English contractions are words of their own. The first
# is transformers 5's, the second that of earlier ones, which parted special tokens before.
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
OLDER_WORDS = WORDS.removeprefix(r"<\|startoftext\|>|<\|endoftext\|>|")
END_OF_WORD = "</w>"
MAX_ADDED = 10_000  # tokens: textual inversions, of which a tokenizer holds some dozens
MAX_TOKEN = 1_000  # letters of an added one

_NORMALIZERS = [
    {"type": "NFC"},
    {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
    {"type": "Lowercase"},
]
# What of the model's settings may be, by name; what is absent is the first.
_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "type": ("BPE",),
    "dropout": (None, 0),
    "continuing_subword_prefix": ("", None),
    "end_of_word_suffix": (END_OF_WORD,),
    "fuse_unk": (False, None),
    "byte_fallback": (False, None),
    "ignore_merges": (False, None),
}


@dataclass(frozen=True)
class TokenizerJson:
    """What a CLIP tokenizer's file says.

    Attributes:
        vocab: the id of each token.
        merges: pairs of tokens, the first to be joined first.
        unknown: the token that stands for what is none.
        words: the regular expression of a word: `WORDS` or `OLDER_WORDS`.
        parts_again: whether a word is parted once more, as GPT-2 does.
        added: tokens beside the vocabulary, or special in it, as the file writes them, in the order of their ids.
    """

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    unknown: str | None
    words: str
    parts_again: bool
    added: list[Mapping[str, Any]]


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Read a file and hold it to CLIP's shape.

    Raises:
        ModelError: it is no such file; says which part is what, and what was expected.
    """
    data = read_json(path, kind=TOKENIZER)
    model = data.get("model")
    if not isinstance(model, dict):
        raise _unlike(path, "model", model, "a BPE with a vocabulary and merges")
    for name, allowed in _SETTINGS.items():
        if model.get(name, allowed[0]) not in allowed:
            raise _unlike(path, f"model.{name}", model[name], repr(allowed[0]))
    unknown = model.get("unk_token")
    if not isinstance(unknown, str | None):
        raise _unlike(path, "model.unk_token", unknown, "a token")
    normalizer = data.get("normalizer")
    if normalizer != {"type": "Sequence", "normalizers": _NORMALIZERS}:
        raise _unlike(path, "normalizer", normalizer, "NFC, Replace of white space, Lowercase")
    words, parts_again = _words(path, data.get("pre_tokenizer"))
    return TokenizerJson(
        vocab=checked_vocab(path, model.get("vocab")),
        merges=_merges(path, model.get("merges")),
        unknown=unknown,
        words=words,
        parts_again=parts_again,
        added=_added(path, data.get("added_tokens", [])),
    )


def checked_vocab(path: Path, vocab: Any) -> dict[str, int]:
    """A vocabulary as a file has it.

    Raises:
        ModelError: it is none.
    """
    if not isinstance(vocab, dict) or not vocab or not all(_is_id(index) for index in vocab.values()):
        raise ModelError(f"{path}: expected an object of tokens and their ids")
    return vocab


def _words(path: Path, given: Any) -> tuple[str, bool]:
    parts = (
        given.get("pretokenizers") if isinstance(given, dict) and given.get("type") == "Sequence" else None
    )
    for words in (WORDS, OLDER_WORDS):
        split = {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": True}
        if isinstance(parts, list) and len(parts) == 2 and parts[0] == split and isinstance(parts[1], dict):
            rest = {"trim_offsets": True, "use_regex": True, **parts[1]}
            bools = rest.pop("trim_offsets"), rest.pop("use_regex")
            if rest == {"type": "ByteLevel", "add_prefix_space": False} and all(
                isinstance(b, bool) for b in bools
            ):
                return words, bools[1]
    raise _unlike(path, "pre_tokenizer", given, "a Split by CLIP's words, then ByteLevel")


def _merges(path: Path, merges: Any) -> list[tuple[str, str]]:
    if not isinstance(merges, list):
        raise _unlike(path, "model.merges", merges, "a list of pairs of tokens")
    pairs = []
    for number, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge  # of older versions, and of newer ones
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise _unlike(path, f"model.merges, number {number},", merge, "two tokens")
        pairs.append((pair[0], pair[1]))
    return pairs


def _added(path: Path, added: Any) -> list[Mapping[str, Any]]:
    if not isinstance(added, list) or len(added) > MAX_ADDED:
        raise _unlike(path, "added_tokens", added, f"a list of at most {MAX_ADDED} tokens")
    for token in added:
        if (
            not isinstance(token, dict)
            or not _is_id(token.get("id"))
            or not isinstance(token.get("content"), str)
        ):
            raise _unlike(path, "added_tokens", token, "tokens with id and content")
    return sorted(added, key=lambda token: int(token["id"]))


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _unlike(path: Path, part: str, got: Any, expected: str) -> ModelError:
    return ModelError(f"{path}: not a CLIP tokenizer: its {part} is {_shown(got)}; expected {expected}")


def _shown(value: Any) -> str:
    """What a part is, in short: of components, their types."""
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        inner = next((part for part in value.values() if isinstance(part, list)), [])
        kinds = [str(part["type"]) for part in inner[:6] if isinstance(part, dict) and "type" in part]
        more = ", …" if len(inner) > 6 else ""
        return f"{value['type'][:60]} of {', '.join(kinds)}{more}" if kinds else str(value)[:200]
    return repr(value)[:200]
