"""The demo's tokenizer: CLIP's byte-level BPE, with merges that make every word of the grammar one token."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTokenizer

from latentrt.files import atomic_write
from latentrt.models.demo.scenes import caption, sample_any

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 32
_EXTRA_WORDS = (
    "the",
    "and",
    "with",
    "one",
    "two",
    "of",
    "in",
    "by",
    "at",
    "background",
    "picture",
    ".",
    "!",
    "?",
)
_WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for every byte, in CLIP's order: printable bytes first."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def grammar_words(count: int = 20000, seed: int = 0) -> list[str]:
    """Every word of the captions, the most frequent first."""
    rng = np.random.default_rng(seed)
    words = Counter(w for _ in range(count) for w in caption(sample_any(rng), rng).replace(",", " ,").split())
    names = [word for word, _ in sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))]
    return names + [word for word in _EXTRA_WORDS if word not in names]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte pair encoding over `words`, until each is a single token."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for piece in pieces for pair in pairwise(piece))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for piece in pieces:
            i = 0
            while i < len(piece) - 1:
                if (piece[i], piece[i + 1]) == best:
                    piece[i : i + 2] = ["".join(best)]
                i += 1


def write_tokenizer(folder: Path) -> None:
    """vocab.json, merges.txt, tokenizer.json and their configuration, as CLIP's tokenizer has them."""
    merges = learn_merges(grammar_words())
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges), START, END]
    vocab = {token: n for n, token in enumerate(tokens)}
    folder.mkdir(parents=True, exist_ok=True)

    fast = Tokenizer(
        models.BPE(
            vocab=vocab, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END
        )
    )
    fast.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    fast.post_processor = processors.RobertaProcessing(
        (END, vocab[END]), (START, vocab[START]), trim_offsets=False, add_prefix_space=False
    )
    fast.add_special_tokens([AddedToken(t, special=True, normalized=t == START) for t in (START, END)])
    texts = {"tokenizer.json": fast.to_str(pretty=True)}
    texts["vocab.json"] = json.dumps(vocab, ensure_ascii=False) + "\n"
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    texts["merges.txt"] = "\n".join(lines)
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {
        **special,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": MAX_LENGTH,
        "tokenizer_class": "CLIPTokenizer",
    }
    for name, content in (("special_tokens_map", special), ("tokenizer_config", config)):
        texts[f"{name}.json"] = json.dumps(content, indent=2) + "\n"
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer as transformers reads it."""
    return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """int64 (b, 32): start, words, then the end token to the full length, as Stable Diffusion pads."""
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return np.array(ids, np.int64)
