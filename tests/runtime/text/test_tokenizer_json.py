"""tokenizer.json: what CLIP's is written as is read, and nothing else reaches the library that would compile it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.text.tokenizer import load_tokenizer
from latentrt.text.tokenizer_json import MAX_ADDED, OLDER_WORDS, WORDS

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
BYTES = [*LETTERS, *(chr(256 + number) for number in range(256 - len(LETTERS)))]
MERGES = [["c", "a"], ["ca", "t</w>"], ["d", "o"], ["do", "g</w>"]]


def component(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def split(words: str) -> dict[str, Any]:
    return component("Split", pattern={"Regex": words}, behavior="Removed", invert=True)


def written(words: str = WORDS, merges: list[Any] = MERGES, **changes: Any) -> dict[str, Any]:
    """As transformers 5 writes it."""
    tokens = [*BYTES, *(letter + "</w>" for letter in BYTES), *("".join(pair) for pair in MERGES), BEGIN, END]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    normalizers = [
        component("NFC"),
        component("Replace", pattern={"Regex": r"\s+"}, content=" "),
        component("Lowercase"),
    ]
    byte_level = component("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokens.index(token), "content": token, **special} for token in (BEGIN, END)],
        "normalizer": component("Sequence", normalizers=normalizers),
        "pre_tokenizer": component("Sequence", pretokenizers=[split(words), byte_level]),
        "post_processor": component(
            "RobertaProcessing", sep=[END, 517], cls=[BEGIN, 516], trim_offsets=False
        ),
        "decoder": component("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
        "model": component(
            "BPE",
            dropout=None,
            unk_token=END,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            byte_fallback=False,
            ignore_merges=False,
            vocab={token: index for index, token in enumerate(tokens)},
            merges=merges,
        ),
        **changes,
    }


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


def load(folder: Path, data: Any) -> Any:
    (folder / "tokenizer.json").write_text(
        data if isinstance(data, str) else json.dumps(data), encoding="utf-8"
    )
    return load_tokenizer(folder, 8)


def older() -> dict[str, Any]:
    """As transformers 4 wrote it: merges are lines, and keys of later versions of the library are absent."""
    data = written(OLDER_WORDS, [" ".join(pair) for pair in MERGES])
    for key in ("byte_fallback", "ignore_merges"):
        del data["model"][key]
    del data["pre_tokenizer"]["pretokenizers"][1]["use_regex"]
    return data


@pytest.mark.parametrize("write", [written, older])
def test_every_way_to_write_clips_gives_the_same_ids(
    write: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    encoding = load(tmp_path, write()).encode("A  Cat\n&dog")
    expected = [516, 256 + BYTES.index("a"), 513, 256 + BYTES.index("&"), 515, 517, 517, 517]
    assert encoding.ids.tolist() == expected


def test_added_tokens_keep_their_ids(tmp_path: Path) -> None:
    data = written()
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    data["added_tokens"] += [{"id": 519, "content": "<b>", **plain}, {"id": 518, "content": "<a>", **plain}]
    assert load(tmp_path, data).encode("<b>cat<a>").ids.tolist()[:5] == [516, 519, 513, 518, 517]
    data["added_tokens"][-1]["id"] = 700
    with pytest.raises(
        ModelError, match="added token '<b>' has the id 519, which leaves a gap .*expected 518"
    ):
        load(tmp_path, data)


def nested(kind: str, key: str, inner: Any, depth: int) -> Any:
    for _ in range(depth):
        inner = component(kind, **{key: [inner]})
    return inner


REPLACE = component("Replace", pattern={"Regex": "(a{1,1000}){1,1000}"}, content="")
HOSTILE: dict[str, dict[str, Any]] = {
    "nested normalizers": {"normalizer": nested("Sequence", "normalizers", component("NFC"), 12)},
    "many normalizers": {"normalizer": component("Sequence", normalizers=[REPLACE] * 500)},
    "a regex": {"normalizer": REPLACE},
    "precompiled": {"normalizer": component("Precompiled", precompiled_charsmap="A" * 15_000)},
    "nested pre-tokenizers": {"pre_tokenizer": nested("Sequence", "pretokenizers", split(WORDS), 12)},
    "words of another": {
        "pre_tokenizer": component("Sequence", pretokenizers=[split("(" * 9000 + ")" * 9000)])
    },
    "split alone": {"pre_tokenizer": component("Sequence", pretokenizers=[split(WORDS)])},
    "no normalizer": {"normalizer": None},
    "a string": {"pre_tokenizer": "Sequence"},
    "another model": {"model": component("Unigram", vocab=[["a", 0.0]])},
    "no model": {"model": None},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_clips_is_named_and_not_compiled(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*arguments: Any, **more: Any) -> None:
        raise AssertionError("it came to the library")

    for name in ("BPE", "Regex", "Tokenizer"):
        monkeypatch.setattr(f"latentrt.text.vocabulary.{name}", compiled)
    part = next(iter(changes))
    with pytest.raises(
        ModelError, match=rf"tokenizer\.json: not a CLIP tokenizer: its {part}.* is .*; expected "
    ):
        load(tmp_path, written(**changes))


def test_what_it_has_is_said_in_short(tmp_path: Path) -> None:
    said = (
        f"its normalizer is Sequence of {', '.join(['Replace'] * 6)}, …; expected NFC, Replace of white space"
    )
    with pytest.raises(ModelError, match=said):
        load(tmp_path, written(**HOSTILE["many normalizers"]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dropout", 0.5),
        ("continuing_subword_prefix", "##"),
        ("end_of_word_suffix", ""),
        ("fuse_unk", True),
        ("byte_fallback", True),
        ("ignore_merges", True),
        ("unk_token", 5),
        ("merges", {"a": "b"}),
        ("merges", [["a"]]),
        ("merges", ["a b c"]),
        ("merges", [[1, 2]]),
    ],
)
def test_settings_of_other_models_are_named(key: str, value: Any, tmp_path: Path) -> None:
    data = written()
    data["model"][key] = value
    with pytest.raises(ModelError, match=rf"not a CLIP tokenizer: its model\.{key}.* is "):
        load(tmp_path, data)


@pytest.mark.parametrize(
    "vocab", [{}, None, {"a": -1}, {"a": 2**31}, {"a": True}, {"a": 0.0}, {"a": "0"}, ["a"]]
)
def test_vocabularies_that_cannot_be(vocab: Any, tmp_path: Path) -> None:
    data = written()
    data["model"]["vocab"] = vocab
    with pytest.raises(ModelError, match=r"tokenizer\.json: expected an object of tokens and their ids"):
        load(tmp_path, data)


def test_merges_of_other_tokens(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json: .*`cat` out of vocabulary"):
        load(tmp_path, written(merges=[["cat", "dog"]]))
    with pytest.raises(ModelError, match=r"tokenizer\.json: "):
        load(tmp_path, written(merges=[["\ud800", "a"]]))


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ([{"id": 1}], "added_tokens is .*expected tokens with id and content"),
        ([{"id": -1, "content": "x"}], "expected tokens with id and content"),
        ({}, "expected a list of at most"),
        (
            [{"id": n, "content": f"<{n}>"} for n in range(518, 519 + MAX_ADDED)],
            "expected a list of at most 10000",
        ),
        ([{"id": 518, "content": "x" * 5000}], "expected a token of 1 to 1000 letters"),
        ([{"id": 518, "content": "\ud800"}], "expected a token of 1 to 1000 letters"),
        ([{"id": 518, "content": ""}], "expected a token of 1 to 1000 letters"),
    ],
)
def test_added_tokens_that_cannot_be(added: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        load(tmp_path, written(added_tokens=added))


def test_more_tokens_than_any_model_has_in_the_files_beside(tmp_path: Path) -> None:
    many = {f"<{number}>": 518 + number for number in range(MAX_ADDED + 1)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(many))
    with pytest.raises(ModelError, match="adds 10001 tokens; expected at most 10000"):
        load(tmp_path, written())


@pytest.mark.parametrize("name", ["special_tokens_map", "tokenizer_config"])
def test_half_a_surrogate_pair_is_no_token(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.json").write_text(json.dumps({"pad_token": "\ud800"}))
    with pytest.raises(ModelError, match="lacks the pad_token"):
        load(tmp_path, written())


PARTS = st.sampled_from(
    ["Sequence", "Split", "Replace", "NFC", "Lowercase", "ByteLevel", "Precompiled", "BPE", "\\s+", ""]
)
KEYS = st.sampled_from(
    ["type", "normalizers", "pretokenizers", "pattern", "Regex", "content", "vocab", "merges", "id"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | PARTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["normalizer", "pre_tokenizer", "model", "added_tokens", "decoder", "version"]), VALUES
)
def test_any_part_is_clips_or_an_error_of_ours(scratch: Path, part: str, value: Any) -> None:
    try:
        tokenizer = load(scratch, written(**{part: value}))
    except ModelError as error:
        assert "tokenizer" in str(error)
    else:
        assert tokenizer.encode("cat").ids.shape == (8,)


def test_the_demos_own_is_read() -> None:
    folder = open_model("demo").root / "tokenizer"
    assert (folder / "tokenizer.json").exists()
    assert load_tokenizer(folder).vocab_size == 680
