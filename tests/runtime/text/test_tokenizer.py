"""The tokenizer without transformers: golden ids with the real vocabulary, limits, truncation, broken files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentrt.errors import InputError, ModelError
from latentrt.text.tokenizer import load_tokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def write_files(folder: Path, merges: list[str], **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    letters = byte_letters()
    tokens = [*letters, *(c + "</w>" for c in letters), *("".join(m.split()) for m in merges), BEGIN, END]
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A vocabulary with the words "cat" and "dog" only: ids 512 … 515, begin 516, end 517."""
    merges = ["c a", "ca t</w>", "d o", "do g</w>"]
    return write_files(tmp_path / "tokenizer", merges, tokenizer_config={"model_max_length": 8})


@pytest.fixture(scope="module")
def clip(clip_merges: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(
        tmp_path_factory.mktemp("clip"), clip_merges, tokenizer_config={"model_max_length": 77}
    )


def test_ids_begin_words_end_padding(small: Path) -> None:
    tokenizer = load_tokenizer(small)
    encoding = tokenizer.encode("A  Cat\n&dog")
    ids = byte_letters()
    expected = [516, 256 + ids.index("a"), 513, 256 + ids.index("&"), 515, 517, 517, 517]
    assert encoding.ids.dtype == np.int64
    assert encoding.ids.tolist() == expected
    assert encoding.num_tokens == 6
    assert encoding.truncated == ""
    assert (tokenizer.max_length, tokenizer.vocab_size) == (8, 518)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (516, 517, 517)


@pytest.mark.parametrize(
    ("prompt", "truncated"),
    [
        ("cat " * 6, ""),
        ("cat dog cat dog cat dog Cat,  DOG \n", "Cat,  DOG \n"),
        ("cat dog cat dog cat CATS!", "TS!"),  # the limit falls inside a word
        ("cat dog cat dog cat dog \u0065\u0301t\u00e9", "\u0065\u0301t\u00e9"),  # NFC shortens the text
        ("cat dog cat dog cat \U0001f600 cat", "\U0001f600 cat"),  # the limit falls inside a character
    ],
)
def test_truncated_is_the_very_text_that_was_cut(small: Path, prompt: str, truncated: str) -> None:
    encoding = load_tokenizer(small).encode(prompt)
    assert encoding.truncated == truncated
    assert encoding.num_tokens == 8
    assert encoding.ids[-1] == 517


def test_length_is_the_files_capped_by_the_text_encoders(small: Path) -> None:
    assert load_tokenizer(small, 77).max_length == 8
    assert load_tokenizer(small, 5).max_length == 5
    (small / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert load_tokenizer(small, 77).max_length == 77
    (small / "tokenizer_config.json").unlink()
    assert load_tokenizer(small, 77).max_length == 77
    with pytest.raises(ModelError, match="model_max_length"):
        load_tokenizer(small)


def test_stable_diffusion_2_pads_with_an_exclamation_mark(small: Path) -> None:
    (small / "special_tokens_map.json").write_text(json.dumps({"pad_token": "!"}))
    tokenizer = load_tokenizer(small)
    assert tokenizer.pad_id == 0
    assert tokenizer.encode("cat").ids.tolist() == [516, 513, 517, 0, 0, 0, 0, 0]
    assert tokenizer.encode("cat!").ids.tolist() == [516, 513, 0, 517, 0, 0, 0, 0]  # as the reference has it


def test_tokenizer_json_alone_gives_the_same_ids(small: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(small)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "tokenizer.json").write_text(tokenizer._backend.to_str(), encoding="utf-8")
    other = load_tokenizer(alone, 8)
    for prompt in ("", "a cat", "it's 12 DOGS", f"x{END}y", "\u0130\u00df \u65e5\u672c"):
        assert other.encode(prompt).ids.tolist() == tokenizer.encode(prompt).ids.tolist()


def test_added_tokens_are_whole(small: Path) -> None:
    (small / "added_tokens.json").write_text(json.dumps({"<toy>": 518}))
    assert load_tokenizer(small).encode("cat <toy>").ids.tolist()[:4] == [516, 513, 518, 517]


def test_half_a_surrogate_pair_is_refused(small: Path) -> None:
    with pytest.raises(InputError, match="position 4"):
        load_tokenizer(small).encode("cat \udce9")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vocab.json", "{"),
        ("vocab.json", "[1]"),
        ("vocab.json", '{"a": "b"}'),
        ("vocab.json", '{"a": 0, "b": -1}'),
        ("vocab.json", "[" * 100_000),
        ("merges.txt", "c a t\n"),
        ("merges.txt", "x \u00ff\u00fe\n"),
        ("merges.txt", b"\xff\xfe"),
        ("tokenizer_config.json", '{"model_max_length": "many"}'),
        ("tokenizer_config.json", '{"model_max_length": 2}'),
        ("tokenizer_config.json", '{"model_max_length": NaN}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {}}}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"1": {}}}'),
        ("added_tokens.json", '{"a": "b"}'),
        ("special_tokens_map.json", "nonsense"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "nonsense"),
    ],
)
def test_a_broken_file_is_named(small: Path, name: str, text: str | bytes) -> None:
    (small / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        load_tokenizer(small)


def test_a_giant_file_is_refused_unread(small: Path) -> None:
    with (small / "vocab.json").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ModelError, match=r"vocab\.json: 1099511627776 bytes"):
        load_tokenizer(small)


def test_what_is_missing_is_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected tokenizer\.json, or vocab\.json and merges\.txt"):
        load_tokenizer(tmp_path)
    (small / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<end>"}))
    with pytest.raises(ModelError, match="lacks the eos_token"):
        load_tokenizer(small)


def test_golden_ids_of_the_real_vocabulary(clip: Path) -> None:
    """From transformers 5.23; the live comparison is tests/export/text/test_tokenizer.py."""
    tokenizer = load_tokenizer(clip)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (49406, 49407, 49407)
    for prompt, ids in {
        "hi! wow": [1883, 256, 2781],
        f"{END} x": [49407, 343],
        f"a{BEGIN}b": [320, 49406, 321],
        "": [],
        " \t": [],
        "\U0001f600\u200b \u00e9": [12832, 9844, 4166],
        "na\u00efve \ufb01 \u0130": [1097, 35689, 563, 171, 105, 479, 328, 16384],
        "aaa!!!!": [9583, 2360],
    }.items():
        encoding = tokenizer.encode(prompt)
        row = [49406, *ids, 49407]
        assert encoding.ids.tolist() == row + [49407] * (77 - len(row))
        assert encoding.num_tokens == len(row)
