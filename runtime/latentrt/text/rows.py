"""A prompt as rows of token ids: one that is cut, or as many as it needs, cut where a program cuts.

What is decided here are places among a prompt's tokens, which come in groups: what is weighed alike, so the whole
prompt where nothing is weighed. A reader of weights can lay these out by the same places.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from latentrt.text.tokenizer import Encoding, Tokenizer

Rows: TypeAlias = Callable[[Tokenizer, str], list[Encoding]]

_COMMA = ",</w>"  # as CLIP's vocabulary has it at the end of a word
_NEAR = 20  # tokens: AUTOMATIC1111's default
_SHORT = 8  # tokens: from so many on ComfyUI takes a group for no word


def one_row(tokenizer: Tokenizer, prompt: str) -> list[Encoding]:
    """As diffusers has it: what does not fit is cut off."""
    return [tokenizer.encode(prompt)]


def a1111_rows(tokenizer: Tokenizer, prompt: str) -> list[Encoding]:
    """As AUTOMATIC1111 and Forge have it.

    An end that is written in the prompt ends the row there where padding is another token.
    """
    ids = tokenizer.ids(prompt)
    cuts = cut_at_commas(ids, tokenizer.max_length - 2, tokenizer.id_of(_COMMA))
    return [_ended(tokenizer, tokenizer.row(ids[cut.start : cut.stop])) for cut in cuts]


def comfyui_rows(tokenizer: Tokenizer, prompt: str) -> list[Encoding]:
    """As ComfyUI has it."""
    ids = tokenizer.ids(prompt)
    cuts = cut_between_groups([len(ids)], tokenizer.max_length - 2)
    return [tokenizer.row(ids[cut.start : cut.stop]) for cut in cuts]


# By the names of `latentrt.painting.programs`.
ROWS: Mapping[str, Rows] = {"one": one_row, "a1111": a1111_rows, "comfyui": comfyui_rows}


def level(rows: Sequence[list[Encoding]], tokenizers: Sequence[Tokenizer]) -> list[list[Encoding]]:
    """As many rows for each of several text encoders: those that read less read nothing in the rest."""
    most = max(map(len, rows))
    return [
        [*own, *[tokenizer.row([])] * (most - len(own))]
        for own, tokenizer in zip(rows, tokenizers, strict=True)
    ]


def cut_at_commas(ids: Sequence[int], room: int, comma: int | None, near: int = _NEAR) -> list[range]:
    """Places in each row: behind the last comma of a full one, if that is near its end, else at the end.

    A comma itself that does not fit any more begins the next row, and is none to cut at there.

    Args:
        ids: of the whole prompt.
        room: for so many tokens in a row.
        comma: its id; None: the vocabulary has none.
        near: so many tokens from the end at the most; 0: never at commas.
    """
    rows: list[range] = []
    begin, last = 0, -1
    for place, token in enumerate(ids):
        if token == comma:
            last = place
        elif place - begin == room and last >= begin and place - last <= near:
            rows.append(range(begin, last + 1))
            begin, last = last + 1, -1
        if place - begin == room:
            rows.append(range(begin, place))
            begin, last = place, -1
    return [*rows, range(begin, len(ids))]


def cut_between_groups(lengths: Sequence[int], room: int) -> list[range]:
    """Places in each row: a short group that does not fit moves on whole, a longer one is cut.

    Args:
        lengths: tokens of each group, in order.
        room: for so many tokens in a row.
    """
    rows: list[range] = []
    begin = end = 0
    for length in lengths:
        moves = length < min(_SHORT, room + 1)
        stop = end + length
        while stop - begin > room:
            cut = end if moves else begin + room
            rows.append(range(begin, cut))
            begin = cut
        end = stop
    return [*rows, range(begin, end)]


def _ended(tokenizer: Tokenizer, row: Encoding) -> Encoding:
    ids = row.ids.copy()
    end = ids.tolist().index(tokenizer.eos_id)
    if tokenizer.pad_id != tokenizer.eos_id:
        ids[end + 1 :] = tokenizer.pad_id
    return replace(row, ids=ids)
