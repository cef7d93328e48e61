"""Token ids equal those of transformers' CLIPTokenizer, id for id, with CLIP's real vocabulary."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import latentrt
from latentrt.text.tokenizer import Tokenizer, load_tokenizer

transformers = pytest.importorskip("transformers", reason="the reference tokenizer is in the extra `export`")

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
Pair = tuple[Tokenizer, Any]


def token(content: str, *, normalized: bool) -> dict[str, Any]:
    return {
        "content": content,
        "lstrip": False,
        "normalized": normalized,
        "rstrip": False,
        "single_word": False,
    }


def write_clip(folder: Path, merges: list[str], **files: Any) -> Path:
    """Write CLIP's vocab.json and merges.txt, and the JSON files given."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    tokens = [*letters, *(c + "</w>" for c in letters), *("".join(m.split()) for m in merges), BEGIN, END]
    assert len(tokens) == 49408
    folder.mkdir(parents=True)
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


# The files beside the vocabulary as published checkpoints have them.
NAMED = {
    "bos_token": token(BEGIN, normalized=True),
    "eos_token": token(END, normalized=True),
    "unk_token": token(END, normalized=True),
    "pad_token": END,
}
CONFIG = {
    "add_prefix_space": False,
    "do_lower_case": True,
    "errors": "replace",
    "model_max_length": 77,
    "tokenizer_class": "CLIPTokenizer",
    **{k: {"__type": "AddedToken", **v} if isinstance(v, dict) else v for k, v in NAMED.items()},
}
DECODER = {
    "0": {**token("!", normalized=False), "special": True},
    "49406": {**token(BEGIN, normalized=True), "special": True},
    "49407": {**token(END, normalized=False), "special": True},
}
PLAIN = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": "!"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "sd1": {"tokenizer_config": CONFIG, "special_tokens_map": NAMED},
    "sd2": {"tokenizer_config": CONFIG, "special_tokens_map": {**NAMED, "pad_token": "!"}},
    "sdxl-2": {"tokenizer_config": {"model_max_length": 77, "added_tokens_decoder": DECODER, **PLAIN}},
    "bare": {},
    "inversion": {"tokenizer_config": CONFIG, "added_tokens": {"<toy>": 49408, "Cat-Toy": 49409}},
}


@pytest.fixture(scope="module", params=[*LAYOUTS, "sd1/tokenizer.json", "sd2/tokenizer.json", "demo"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Ours and the reference, over one folder."""
    if request.param == "demo":
        included = Path(latentrt.__path__[0]) / "models" / "demo" / "tokenizer"
        yield load_tokenizer(included), transformers.CLIPTokenizer.from_pretrained(included)
        return
    layout, _, saved = request.param.partition("/")
    merges = request.getfixturevalue("clip_merges")  # only now: the demo's needs no data
    folder = write_clip(tmp_path_factory.mktemp("clip") / "tokenizer", merges, **LAYOUTS[layout])
    if saved:
        again = folder.with_name("saved")
        transformers.CLIPTokenizer.from_pretrained(folder).save_pretrained(again)
        assert not (again / "vocab.json").exists()
        folder = again
    yield load_tokenizer(folder, 77), transformers.CLIPTokenizer.from_pretrained(folder)


def assert_same(pair: Pair, prompts: list[str]) -> None:
    ours, reference = pair
    expected = reference(prompts, padding="max_length", truncation=True, max_length=ours.max_length)[
        "input_ids"
    ]
    whole = reference(prompts, add_special_tokens=False)["input_ids"]
    for prompt, ids, words in zip(prompts, expected, whole, strict=True):
        encoding = ours.encode(prompt)
        assert encoding.ids.tolist() == ids, prompt
        assert encoding.num_tokens == min(len(words) + 2, ours.max_length), prompt
        assert bool(encoding.truncated) == (len(words) + 2 > ours.max_length), prompt
        assert prompt.endswith(encoding.truncated)


def test_special_ids(pair: Pair) -> None:
    ours, reference = pair
    assert ours.max_length in (77, reference.model_max_length)
    assert ours.bos_id == reference.bos_token_id
    assert ours.eos_id == reference.eos_token_id
    assert ours.pad_id == reference.pad_token_id
    assert ours.vocab_size == len(reference)


def test_parti_prompts(pair: Pair, data_file: Callable[[str], Path]) -> None:
    with data_file("PartiPrompts.tsv").open(encoding="utf-8", newline="") as file:
        prompts = [row["Prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert len(prompts) == 1632
    assert_same(pair, prompts)


def test_naughty_strings(pair: Pair, data_file: Callable[[str], Path]) -> None:
    strings = json.loads(data_file("blns.json").read_text(encoding="utf-8"))
    assert len(strings) == 515
    assert_same(pair, strings)
    assert_same(pair, ["\n".join(strings[i : i + 5]) for i in range(0, len(strings), 5)])


PIECES = [BEGIN, END, "<|StartOfText|>", "<toy>", "cat-toy", "Cat-Toy", "!", "'LL", "</w>", "\x00", "\x85"]
PIECES += ["\u017f", "\u0130", "\u1e9e", "e\u0301", "\ufb01", "\u00a0", "\u200b", "\u2028", "1\u00b22\u0663"]
PIECES += ["\U0001f468\u200d\U0001f469"]


@settings(max_examples=150)
@given(
    st.lists(st.one_of(st.text(), st.sampled_from(PIECES), st.text("ab C'!1\n", max_size=100))).map("".join)
)
def test_any_text(pair: Pair, prompt: str) -> None:
    assert_same(pair, [prompt])
