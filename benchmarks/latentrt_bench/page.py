"""A report as one HTML page that needs nothing else: no script, no network, no second file."""

import importlib.resources
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
from markupsafe import Markup

from latentrt_bench.display import figures
from latentrt_bench.display.sheet import plain
from latentrt_bench.plots import plots
from latentrt_bench.report import Report
from latentrt_bench.tables import found, sheets, warnings

HEADINGS = {
    "latent-vs-pixel": "Latent against pixel space",
    "model": "Where a model spends its time",
    "peers": "Beside its peers",
}
# What the keys of a report are called, where the key alone would not say it.
NAMES = {
    "macs_per_s": "multiplication",
    "bytes_per_s": "memory",
    "steal": "time given to other machines",
    "others": "time of other programs",
    "clock_jump_s": "clock set forward by",
    "gpus": "GPUs",
    "detail": "rates of every call",
}
UNITS: dict[str, Callable[[float | None], str]] = {
    "macs_per_s": figures.rate,
    "bytes_per_s": figures.bandwidth,
    "steal": figures.percent,
    "others": figures.percent,
    "_bytes": figures.size,
    "_s": figures.seconds,
}


def page(report: Report) -> str:
    """The page's text. The same report gives the same page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = plain
    source = (
        importlib.resources.files("latentrt_bench").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    return environment.from_string(source).render(
        report=report,
        started=report.started.replace("T", " ").replace("Z", " UTC"),
        heading=HEADINGS[report.benchmark],
        took=figures.seconds(report.seconds),
        command=shlex.join(report.command),
        found=found(report),
        warnings=list(warnings(report)),
        plots=[(plot, Markup(plot.svg)) for plot in plots(report)],
        sheets=sheets(report),
        about=[
            ("The machine", facts(report.machine)),
            ("Versions", facts(report.versions)),
            ("What was asked", facts(report.settings)),
            ("What may have disturbed it", facts(report.conditions)),
            ("The machine's limits", facts(report.ceilings or {})),
        ],
        samples=list(samples(report)),
    )


def facts(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """What is known, as pairs of a name and a value in words; deeper names have those on the way before them."""
    for key, value in data.items():
        name = prefix + NAMES.get(key, key).replace("_", " ")
        if isinstance(value, dict):
            yield from facts(value, f"{name}: ")
        elif isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            for index, entry in enumerate(value, 1):
                yield from facts(entry, f"{name} {index}: ")
        else:
            yield _in_unit(key, name, value)


def _in_unit(key: str, name: str, value: Any) -> tuple[str, str]:
    """The value in words, in the unit that its key ends with."""
    if value is None:
        return name, "not known"
    if isinstance(value, bool):
        return name, "yes" if value else "no"
    if isinstance(value, list) and value and all(isinstance(entry, float) for entry in value):
        return name, ", ".join(map(figures.count, value))
    if isinstance(value, list):
        return name, ", ".join(
            "×".join(map(str, v)) if isinstance(v, list) else str(v) for v in value
        ) or "none"
    if not isinstance(value, int | float):
        return name, str(value)
    for ending, form in UNITS.items():
        if key.endswith(ending):
            return name.removesuffix(ending.replace("_", " ")), form(value)
    return name, str(value) if isinstance(value, int) else figures.significant(value)


def samples(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    """Row, measurement, status, warm-up and rounds, in seconds as they were taken."""
    for row in report.rows:
        for name, m in row.measurements.items():
            rounds = " | ".join(" ".join(f"{s:.4g}" for s in calls) for calls in m.rounds)
            yield row.name, name, m.status, " ".join(f"{s:.4g}" for s in m.warmup), rounds
