"""What is no plain text to a program is found, and what is, is not taken for anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.pictures.grammar import GRAMMARS, found_in, literal


def names(prompt: str, grammar: str, **options: bool) -> list[str]:
    return [one.split(",")[0] for one in found_in(prompt, grammar, **options)]


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("an (important) word", ["attention"]),
        ("(unbalanced", ["attention"]),
        ("[less]", ["attention"]),
        ("a stray ) and ]", []),
        (r"\(literal\) \[too\]", []),
        (r"a \\(real one)", ["attention"]),
        ("a [b : c : 1] d", ["editing"]),
        ("a[b:[c:d:2]:1]e", ["editing", "attention"]),
        ("[fe|]male", ["editing"]),
        ("a BREAK b", ["BREAK"]),
        ("BREAKFAST and ANDROIDS", []),
        ("a cat AND a dog", ["AND"]),
        ("a cat :1.2", ["a weight of the whole"]),
        ("at 12:30 on the dot", []),
        ("<lora:x:0.8>", ["a network"]),
        ("a < b, c > d", []),
        ("well-known, 3+4, embedding:x", []),
    ],
)
def test_automatic1111s(prompt: str, found: list[str]) -> None:
    assert names(prompt, "a1111") == found


def test_what_is_of_the_positive_prompt_alone() -> None:
    prompt = "a AND b, <lora:x:1> :1.2"
    assert names(prompt, "a1111") == ["AND", "a weight of the whole", "a network"]
    assert names(prompt, "a1111", negative=True) == []
    assert names("(a:1.2) [b:c:3]", "a1111", attention=False) == ["editing"]


@pytest.mark.parametrize(
    ("grammar", "prompt", "found"),
    [
        ("comfyui", "(a:1.2)", ["attention"]),
        ("comfyui", "(unclosed is text", []),
        ("comfyui", "[text] BREAK AND :1.1", []),
        ("comfyui", "a embedding:bad, b", ["an embedding"]),
        ("swarmui", "<random:a,b>", ["a command"]),
        ("compel", "red++ cars", ["attention"]),
        ("compel", "(a b)1.3", ["attention"]),
        ("compel", "a (b) c", ["attention"]),
        ("compel", "well-known, 1-2", []),
        ("compel", '("a", "b").blend(1, 1)', ["a blend", "attention"]),
        ("novelai", "{{a}}", ["attention"]),
        ("novelai", "1.5::a::", ["attention"]),
        ("novelai", "a|b", ["a mixture"]),
        ("", "(a:1.2) <lora:x:1> BREAK", []),
    ],
)
def test_of_others(grammar: str, prompt: str, found: list[str]) -> None:
    assert names(prompt, grammar) == found


def test_backslashes_are_the_programs() -> None:
    assert literal(r"name \(series\), a\\b, c\d", "a1111") == r"name (series), a\b, cd"
    assert literal(r"name \(series\), a\\b", "comfyui") == r"name (series), a\\b"
    assert literal(r"name \(series\)", "") == r"name \(series\)"


@given(st.text(alphabet="()[]{}<>:|\\+-. aBREAKND1", max_size=60), st.sampled_from(list(GRAMMARS)))
def test_no_prompt_raises_and_a_plain_one_is_a_prompt(prompt: str, grammar: str) -> None:
    if not found_in(prompt, grammar):
        assert isinstance(literal(prompt, grammar), str)
    if prompt.isalpha() and not {"BREAK", "AND"} & {prompt}:
        assert found_in(prompt, grammar) == []
        assert literal(prompt, grammar) == prompt


@pytest.mark.parametrize(
    "piece", ["(", "[", "[a:", "\\", "<a:", "(a:1", "{", "::", "a+", "-", "9.", "embedding:"]
)
@pytest.mark.parametrize("grammar", list(GRAMMARS))
def test_a_long_prompt_takes_no_longer_than_its_length(grammar: str, piece: str) -> None:
    """Quadratic time would be minutes here: the test's timeout is the bound."""
    prompt = piece * (200_000 // len(piece))
    found_in(prompt, grammar)
    literal(prompt, grammar)
