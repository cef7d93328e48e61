"""A table before it has a form: the same cells become text for a terminal, HTML for the page, Markdown for the docs."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentrt_bench.display import figures
from latentrt_bench.report import Measurement

WIDTH = 100
WORDS, NUMBER = 24, 60  # columns of a terminal: what a long name gets at least, and the most a number gets
GAP = 2  # columns of a terminal between two columns of a table
STYLES = {"predicted": "italic", "failed": "red", "noisy": "yellow"}


@dataclass(frozen=True)
class Cell:
    """What stands in a cell, and the word that it is marked with: "predicted", "failed", "noisy" or none."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table: a title, the columns' heads, lines of cells, and sentences to be read below.

    The first column says what the line is about and is set flush left, all others flush right unless `words` names
    them by their index.
    """

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    words: frozenset[int] = frozenset({0})


def without_empty(sheet: Sheet) -> Sheet:
    """The table without the columns in which no line has anything."""
    blank = Cell(figures.NONE)
    kept = [i for i in range(len(sheet.columns)) if i == 0 or any(line[i] != blank for line in sheet.lines)]
    return Sheet(
        sheet.title,
        [sheet.columns[i] for i in kept],
        [[line[i] for i in kept] for line in sheet.lines],
        sheet.notes,
        frozenset(at for at, i in enumerate(kept) if i in sheet.words),
    )


def cells(*texts: str) -> list[Cell]:
    """Cells without a mark."""
    return [Cell(text) for text in texts]


def seconds_cell(measurement: Measurement | None) -> Cell:
    """The seconds of one call, marked where they were predicted, failed or are noisy."""
    if measurement is None:
        return Cell(figures.NONE)
    mark: str = measurement.status if measurement.status != "measured" else ""
    if not mark and measurement.is_noisy:
        mark = "noisy"
    return Cell(figures.seconds(measurement.seconds), mark)


def spread_cell(measurement: Measurement | None) -> Cell:
    """How far the rounds lie apart, of their median."""
    spread = measurement.spread if measurement is not None and measurement.status == "measured" else None
    return Cell(figures.percent(spread))


def plain(text: str) -> str:
    """The text on one line, without what a terminal would obey: names and reasons come from files."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def as_text(sheets: Sequence[Sheet], sentences: Sequence[str] = (), is_terminal: bool = False) -> str:
    """Tables of at most 100 columns, each with its notes, and sentences below; styled for a terminal only."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=WIDTH,
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    for sheet in sheets:
        console.print(Text(plain(sheet.title), style="bold"))
        for part in _parts(sheet):
            console.print(_rich(sheet, part))
        for note in sheet.notes:
            console.print(_item(note))
        console.print()
    for sentence in sentences:
        console.print(_item(sentence))
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(lines).strip("\n")


def _item(sentence: str) -> Table:
    item = Table.grid(padding=(0, 1))
    item.add_column(width=1)
    item.add_column(overflow="fold")
    item.add_row(Text("·"), Text(plain(sentence)))
    return item


def _parts(sheet: Sheet) -> list[list[int]]:
    """Which columns go into each of the tables below each other; every one begins with the first column."""
    parts, free = [[0]], 0
    widths = [_width(sheet, index) for index in range(len(sheet.columns))]
    for index, width in enumerate(widths):
        if index == 0:
            free = WIDTH - width
        elif width + GAP <= free or len(parts[-1]) == 1:
            parts[-1].append(index)
            free -= width + GAP
        else:
            parts.append([0, index])
            free = WIDTH - widths[0] - width - GAP
    return parts


def _width(sheet: Sheet, index: int) -> int:
    """Columns of a terminal that a column of the table needs at least: words may be broken, numbers may not."""
    texts = [plain(text) for text in sheet.columns[index].split()]
    texts += [text for line in sheet.lines for text in (plain(line[index].text), line[index].mark)]
    return min(max(map(cell_len, texts), default=0), WORDS if index in sheet.words else NUMBER)


def _rich(sheet: Sheet, part: Sequence[int]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False, header_style="bold"
    )
    for index in part:
        is_words = index in sheet.words
        table.add_column(
            Text(plain(sheet.columns[index])),
            justify="left" if is_words else "right",
            vertical="top",
            overflow="fold",
            width=None if is_words else _width(sheet, index),
        )
    for line in sheet.lines:
        table.add_row(*(_marked(line[index]) for index in part))
    return table


def _marked(cell: Cell) -> Text:
    text = Text(plain(cell.text), overflow="fold")
    if cell.mark:
        text.append(f"\n{cell.mark}", STYLES.get(cell.mark, ""))
    return text


def as_markdown(sheet: Sheet) -> str:
    """The lines of a Markdown table; marks in italics behind the number, notes as a list below."""
    heads = [escaped(head) for head in sheet.columns]
    rule = ["---" if index in sheet.words else "---:" for index in range(len(heads))]
    lines = [heads, rule]
    for line in sheet.lines:
        lines.append([escaped(c.text) + (f" *{c.mark}*" if c.mark else "") for c in line])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if sheet.notes:
        text += "\n\n" + "\n".join(f"- {escaped(note)}" for note in sheet.notes)
    return text


def escaped(text: str) -> str:
    """The text with what Markdown or HTML would take for its own made harmless."""
    text = plain(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_|[]" else c for c in text)
