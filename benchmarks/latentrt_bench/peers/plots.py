"""Peers beside each other, drawn as bars."""

from collections.abc import Callable, Iterator

from latentrt_bench.display import figures
from latentrt_bench.display.canvas import Plot, bars
from latentrt_bench.report import Report, Row

NOTHING = "did not run"


def plots(report: Report) -> Iterator[Plot]:
    """All plots for which there is something to draw."""
    for name, title, caption, what in (
        ("picture", "Seconds for a picture", "Medians over the rounds, once each is warm.", "picture"),
        (
            "first-picture",
            "Seconds from the start of the process to the first picture",
            "Import, load and paint, with the files in the system's cache and torch.compile's results in its own.",
            "first_picture",
        ),
    ):
        yield from _bars(report, name, title, caption, "seconds", _seconds_of(what), figures.seconds, 1)
    yield from _bars(
        report,
        "memory",
        "Memory that each needs",
        "Its process's peak.",
        "GB",
        Row.memory_bytes,
        figures.size,
        1e9,
    )
    yield from _bars(
        report,
        "installed",
        "Size of what has to be installed",
        "On disk, all that its environment has; without the weights.",
        "GB",
        lambda row: row.facts.get("installed_bytes"),
        figures.size,
        1e9,
    )


def _seconds_of(what: str) -> Callable[[Row], float | None]:
    def seconds(row: Row) -> float | None:
        measurement = row.measurements.get(what)
        return None if measurement is None else measurement.seconds

    return seconds


def _bars(
    report: Report,
    name: str,
    title: str,
    caption: str,
    unit: str,
    of: Callable[[Row], float | None],
    form: Callable[[float | None], str],
    scale: float,
) -> Iterator[Plot]:
    found = [(row.name, of(row)) for row in report.rows]
    if all(value is None for _, value in found):
        return
    values = [(n, None if v is None else v / scale, NOTHING if v is None else form(v), "") for n, v in found]
    yield bars(name, title, caption, unit, values)
