"""A report as tables for the terminal, never wider than 100 columns."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Sheet, as_text
from latentrt_bench.latent_vs_pixel import tables as latent_tables
from latentrt_bench.model import tables as model_tables
from latentrt_bench.peers import tables as peer_tables
from latentrt_bench.report import NOISY, Report

SHEETS: dict[str, Callable[[Report], list[Sheet]]] = {
    "latent-vs-pixel": latent_tables.sheets,
    "model": model_tables.sheets,
    "peers": peer_tables.sheets,
}
FOUND: dict[str, Callable[[Report], Iterator[str]]] = {
    "latent-vs-pixel": latent_tables.found,
    "model": model_tables.found,
    "peers": peer_tables.found,
}


def table(report: Report, is_terminal: bool = False) -> str:
    """Every table of a report, and its warnings below; with colours for a terminal only."""
    return as_text(sheets(report), list(warnings(report)), is_terminal)


def sheets(report: Report) -> list[Sheet]:
    """The tables of a report, whatever form they are to get. What slowed the machine stands in their titles."""
    slowed = {"on_battery": "on battery", "throttled": "throttled"}
    words = [word for condition, word in slowed.items() if report.conditions.get(condition)]
    mark = f" ({', '.join(words)})" if words else ""
    return [replace(sheet, title=f"{sheet.title}{mark}") for sheet in SHEETS[report.benchmark](report)]


def found(report: Report) -> list[str]:
    """What was found, in sentences."""
    return [text if text.endswith(".") else f"{text}." for text in FOUND[report.benchmark](report)]


def warnings(report: Report) -> Iterator[str]:
    """What a reader has to know before believing a figure, one sentence each."""
    if not report.complete:
        yield "The run was interrupted: only what was finished is told."
    noisy = [
        f"{row.name} {name}" for row in report.rows for name, m in row.measurements.items() if m.is_noisy
    ]
    count = sum(m.status == "measured" for row in report.rows for m in row.measurements.values())
    if noisy:
        few = ", ".join(noisy[:3]) + (f" and {len(noisy) - 3} more" if len(noisy) > 3 else "")
        are = "is" if len(noisy) == 1 else "are"
        apart = f"rounds more than {figures.percent(NOISY)} apart"
        yield f"{len(noisy)} of {count} measurements {are} noisy, with {apart}: {few}."
    yield from map(_sentence, report.warnings)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
