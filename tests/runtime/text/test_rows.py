"""A prompt in rows: nothing is lost, no row is too long, and it is cut where programs cut it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.text.rows import (
    ROWS,
    a1111_rows,
    comfyui_rows,
    cut_at_commas,
    cut_between_groups,
    level,
    one_row,
)
from latentrt.text.tokenizer import Tokenizer, clip_tokenizer

COMMA = 1


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return clip_tokenizer()


def whole(cuts: list[range]) -> list[int]:
    return [place for cut in cuts for place in cut]


@given(
    st.lists(st.integers(0, 4), max_size=200),
    st.integers(1, 40),
    st.none() | st.just(COMMA),
    st.integers(0, 40),
)
def test_at_commas_nothing_is_lost(ids: list[int], room: int, comma: int | None, near: int) -> None:
    cuts = cut_at_commas(ids, room, comma, near)
    assert whole(cuts) == list(range(len(ids)))
    assert all(0 < len(cut) <= room for cut in cuts) or cuts == [range(0)]
    for cut in cuts[:-1]:  # short of full only where a comma near its end is what it ends with
        missing = room - len(cut)
        assert missing == 0 or (comma is not None and ids[cut[-1]] == comma and missing < near)


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(1, 40))
def test_between_groups_nothing_is_lost(lengths: list[int], room: int) -> None:
    cuts = cut_between_groups(lengths, room)
    assert whole(cuts) == list(range(sum(lengths)))
    assert all(0 < len(cut) <= room for cut in cuts) or cuts == [range(0)]
    borders = [0, *np.cumsum(lengths).tolist()]
    for cut in cuts[:-1]:
        assert len(cut) == room or cut.stop in borders
    for begin, end in pairwise(borders):
        if end - begin < min(8, room + 1):
            assert sum(cut.start < end and begin < cut.stop for cut in cuts) <= 1, "a short group is whole"


def test_what_follows_a_near_comma_moves_on() -> None:
    ids = [0, 0, COMMA, 0, 0, 0, 0]
    assert cut_at_commas(ids, 5, COMMA, 3) == [range(3), range(3, 7)]
    assert cut_at_commas(ids, 5, COMMA, 2) == [range(5), range(5, 7)]
    assert cut_at_commas(ids, 5, COMMA, 0) == [range(5), range(5, 7)]
    assert cut_at_commas(ids, 5, None) == [range(5), range(5, 7)]


def test_a_comma_that_does_not_fit_begins_the_next_row_and_is_none_to_cut_at() -> None:
    assert cut_at_commas([0, 0, COMMA, 0, 0], 2, COMMA) == [range(2), range(2, 4), range(4, 5)]


def test_a_group_of_eight_is_cut_and_one_of_seven_is_not() -> None:
    assert cut_between_groups([70, 7], 75) == [range(70), range(70, 77)]
    assert cut_between_groups([70, 8], 75) == [range(75), range(75, 78)]
    assert cut_between_groups([160, 3], 75) == [range(75), range(75, 150), range(150, 163)]


@pytest.mark.parametrize("name", ["a1111", "comfyui"])
@pytest.mark.parametrize("words", [0, 1, 40, 75])
def test_a_prompt_that_fits_is_the_row_that_it_always_was(
    name: str, words: int, tokenizer: Tokenizer
) -> None:
    prompt = "rain " * words
    (row,), (expected,) = ROWS[name](tokenizer, prompt), one_row(tokenizer, prompt)
    np.testing.assert_array_equal(row.ids, expected.ids)
    assert (row.num_tokens, row.truncated) == (expected.num_tokens, "")


def test_each_row_is_begun_ended_and_padded() -> None:
    tokenizer = clip_tokenizer("!")
    for rows in (a1111_rows, comfyui_rows):
        first, last = rows(tokenizer, "rain " * 76)
        assert (first.ids[0], last.ids[0]) == (tokenizer.bos_id, tokenizer.bos_id)
        assert (first.ids[-1], last.ids[2]) == (tokenizer.eos_id, tokenizer.eos_id)
        assert last.ids[3:].tolist() == [tokenizer.pad_id] * 74
        assert (first.num_tokens, last.num_tokens) == (77, 3)


def test_an_end_that_is_written_ends_automatic1111s_row_where_padding_is_another_token() -> None:
    prompt = "rain<|endoftext|>snow"
    (openclip,) = a1111_rows(clip_tokenizer("!"), prompt)
    assert openclip.ids[3:].tolist() == [0] * 74
    (clip,), (same,) = a1111_rows(clip_tokenizer(), prompt), one_row(clip_tokenizer(), prompt)
    np.testing.assert_array_equal(clip.ids, same.ids)
    assert clip.num_tokens == 5


def test_who_reads_less_reads_nothing_in_the_rest(tokenizer: Tokenizer) -> None:
    short, long = comfyui_rows(tokenizer, "rain"), comfyui_rows(tokenizer, "rain " * 160)
    levelled = level([short, long], [tokenizer, tokenizer])
    assert list(map(len, levelled)) == [3, 3]
    np.testing.assert_array_equal(levelled[0][2].ids, one_row(tokenizer, "")[0].ids)
