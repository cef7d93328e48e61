"""A CLIP vocabulary as files hold it: vocabulary, merges and special tokens, read with care."""

import gzip
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from latentrt.errors import ModelError
from latentrt.files import TOKENIZER, read_json, read_text
from latentrt.text.tokenizer_json import (
    END_OF_WORD,
    MAX_ADDED,
    MAX_TOKEN,
    WORDS,
    checked_vocab,
    read_tokenizer_json,
)

UNKNOWN = "<|endoftext|>"
# The order decides: where two roles share one token, the later one's way of matching holds.
DEFAULT_SPECIAL_TOKENS: dict[str, str | None] = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": UNKNOWN,
    "sep_token": None,
    "pad_token": "<|endoftext|>",
    "cls_token": None,
    "mask_token": None,
}


def read_backend(folder: Path) -> Tokenizer:
    """Read `tokenizer.json`, or else `vocab.json` and `merges.txt`, without the special tokens beside them."""
    if os.path.lexists(folder / "tokenizer.json"):
        return _from_json(folder / "tokenizer.json")
    if os.path.lexists(folder / "vocab.json") and os.path.lexists(folder / "merges.txt"):
        return _from_vocabulary(folder / "vocab.json", folder / "merges.txt")
    raise ModelError(f"{folder}: no tokenizer here: expected tokenizer.json, or vocab.json and merges.txt")


def _from_json(path: Path) -> Tokenizer:
    read = read_tokenizer_json(path)
    backend = _assembled(read.vocab, read.merges, str(path), read.words, read.unknown, read.parts_again)
    _add(backend, [_added(path, "added_tokens", {"special": False, **token}) for token in read.added])
    for token in read.added:
        if (index := backend.token_to_id(token["content"])) != token["id"]:
            raise ModelError(
                f"{path}: its added token {token['content']!r} has the id {token['id']}, which leaves a gap or is "
                f"another's; expected {index}"
            )
    return backend


def _from_vocabulary(vocab_path: Path, merges_path: Path) -> Tokenizer:
    vocab = checked_vocab(vocab_path, read_json(vocab_path, kind=TOKENIZER))
    merges = []
    for number, line in enumerate(read_text(merges_path, kind=TOKENIZER).split("\n"), 1):
        line = line.rstrip("\r")
        if not line or line.startswith("#version"):
            continue
        pair = line.split(" ")
        if len(pair) != 2:
            raise ModelError(
                f"{merges_path}: line {number}: expected two tokens and a space, got {line[:80]!r}"
            )
        merges.append((pair[0], pair[1]))
    return _assembled(vocab, merges, f"{merges_path}: does not go with {vocab_path.name}")


def clip_backend() -> Tokenizer:
    """CLIP's own vocabulary, as OpenAI published it: what every Stable Diffusion was trained with."""
    vocab, merges = _clip()
    return _assembled(vocab, merges, "CLIP's merges")


def write_clip(folder: Path, pad_token: str, max_length: int) -> None:
    """Write CLIP's own tokenizer into a folder that exists, in the files that transformers reads.

    Args:
        folder: of the tokenizer.
        pad_token: fills up a row.
        max_length: of a row.
    """
    vocab, merges = _clip()
    special = {role: token for role, token in DEFAULT_SPECIAL_TOKENS.items() if token is not None}
    special["pad_token"] = pad_token
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": max_length, "do_lower_case": True}
    for name, value in (
        ("vocab.json", vocab),
        ("special_tokens_map.json", special),
        ("tokenizer_config.json", {**settings, **special, "add_prefix_space": False}),
    ):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")


def _clip() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's tokens with their ids, and its merges.

    The tokens are the 256 bytes, as signs that can be seen; these at the end of a word; and what each merge makes.
    """
    with resources.files("latentrt").joinpath("text", "clip", "merges.txt.gz").open("rb") as packed:
        lines = gzip.decompress(packed.read()).decode("utf-8").splitlines()
    merges = [(first, second) for first, second in map(str.split, lines)]
    signs = _bytes_as_signs()
    made = (first + second for first, second in merges)
    tokens = [*signs, *(sign + END_OF_WORD for sign in signs), *made, "<|startoftext|>", UNKNOWN]
    return {token: index for index, token in enumerate(tokens)}, merges


def _bytes_as_signs() -> list[str]:
    """A sign for each byte, in the order of their ids: first those that print, as Latin-1 has them."""
    printing = [
        byte
        for first, last in (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
        for byte in range(ord(first), ord(last) + 1)
    ]
    others = 256 - len(printing)
    return [chr(byte) for byte in printing] + [chr(256 + index) for index in range(others)]


def _assembled(
    vocab: dict[str, int],
    merges: Sequence[tuple[str, str]],
    where: str,
    words: str = WORDS,
    unknown: str | None = UNKNOWN,
    parts_again: bool = True,
) -> Tokenizer:
    """CLIP's way of reading text, over a vocabulary."""
    try:
        model = BPE(
            vocab=vocab,
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=END_OF_WORD,
            fuse_unk=False,
            unk_token=unknown if unknown in vocab else None,
        )
    except Exception as error:  # the library raises Exception itself
        raise ModelError(f"{where}: {error}") from None
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=parts_again),
        ]
    )
    return backend


def _add(backend: Tokenizer, tokens: Sequence[AddedToken]) -> None:
    """Add tokens in their order, many at once: after each call the library sorts all of them anew."""
    for special, run in groupby(tokens, key=lambda token: bool(token.special)):
        (backend.add_special_tokens if special else backend.add_tokens)(list(run))


def add_special_tokens(backend: Tokenizer, folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Tell the backend its special tokens; return the token of each role (`bos_token`, `eos_token`, …).

    Args:
        backend: from `read_backend`; changed in place.
        folder: where `special_tokens_map.json` and `added_tokens.json` may lie.
        config: what `tokenizer_config.json` holds. An `added_tokens_decoder` in it makes the other files void, as
            in transformers.
    """
    path = folder / "tokenizer_config.json"
    roles: dict[str, Any] = dict(config)
    known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
    if "added_tokens_decoder" in config:
        listed = config["added_tokens_decoder"]
        if not isinstance(listed, dict) or not all(key.isdecimal() for key in listed):
            raise ModelError(f"{path}: added_tokens_decoder: expected an object of ids and tokens")
        added = [_added(path, "added_tokens_decoder", listed[key]) for key in sorted(listed, key=int)]
    else:
        special_map = read_json(folder / "special_tokens_map.json", optional=True, kind=TOKENIZER)
        roles |= {key: value for key, value in special_map.items() if key.endswith(("_token", "_tokens"))}
        added = _added_by_hand(folder / "added_tokens.json", roles)
    _check_count(folder, added)
    known |= {token.content: token for token in added}
    _add(backend, added)

    contents = add_roles(backend, roles, known, path)
    extra = roles.get("extra_special_tokens", roles.get("additional_special_tokens"))
    if isinstance(extra, list):
        _check_count(folder, extra)
        backend.add_special_tokens([_added(path, "additional_special_tokens", value) for value in extra])
    return contents


def add_roles(
    backend: Tokenizer, roles: Mapping[str, Any], known: Mapping[str, AddedToken], path: Path | str
) -> dict[str, str]:
    """Tell the backend which tokens begin, end and fill up a row; return the token of each role.

    Args:
        backend: changed in place.
        roles: by name, as `DEFAULT_SPECIAL_TOKENS`, which stand for those that are absent.
        known: tokens that were added before, by their text.
        path: for messages.
    """
    contents: dict[str, str] = {}
    for role, default in DEFAULT_SPECIAL_TOKENS.items():
        value = roles.get(role, default)
        if value is None or backend.token_to_id(_content(value)) is None:
            continue
        token = _added(path, role, value)
        if role in roles:
            token = known.get(token.content, token)
        contents[role] = token.content
        backend.add_special_tokens([token])
    return contents


def _check_count(folder: Path, added: Sequence[Any]) -> None:
    if len(added) > MAX_ADDED:
        raise ModelError(f"{folder}: adds {len(added)} tokens; expected at most {MAX_ADDED}")


def _added_by_hand(path: Path, roles: Mapping[str, Any]) -> list[AddedToken]:
    """Read `added_tokens.json`: textual inversions saved with the tokenizer, in the order of their ids."""
    ids = read_json(path, optional=True, kind=TOKENIZER)
    if not all(isinstance(i, int) for i in ids.values()):
        raise ModelError(f"{path}: expected an object of tokens and their ids")
    named = {_content(roles.get(role, default)) for role, default in DEFAULT_SPECIAL_TOKENS.items()}
    return [
        _added(
            path,
            "token",
            {"content": content, "normalized": content not in named, "special": content in named},
        )
        for content in sorted(ids, key=lambda content: int(ids[content]))
    ]


def _content(value: Any) -> str:
    """The text of a token as the files write it; empty where it is none, or has no UTF-8: half a surrogate pair."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and not re.search("[\ud800-\udfff]", content) else ""


def _added(path: Path | str, role: str, value: Any) -> AddedToken:
    """Read a token as the files write it: a string, or an object with its way of matching."""
    content = _content(value)
    if not content or len(content) > MAX_TOKEN:
        raise ModelError(
            f"{path}: {role}: expected a token of 1 to {MAX_TOKEN} letters, got {repr(value)[:80]}"
        )
    if isinstance(value, str):
        return AddedToken(content, normalized=False, special=True)
    flags = {key: bool(value.get(key)) for key in ("lstrip", "rstrip", "single_word", "normalized")}
    return AddedToken(content, special=bool(value.get("special", True)), **flags)
