"""Peers beside each other: their tables, and what was found in sentences."""

from collections.abc import Iterator
from typing import Any

from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Cell, Sheet, cells, seconds_cell, spread_cell
from latentrt_bench.peers.catalogue import HANDED_OVER
from latentrt_bench.report import Report, Row

# Of a peer's facts, those that say in what it differs from the others.
TOLD = ("latents", "layout", "compiled", "loaded", "guidance", "recipe")


def sheets(report: Report) -> list[Sheet]:
    """Speed, memory and size of each peer, then what it was made of."""
    return [peer_sheet(report), environment_sheet(report)]


def derived_of(report: Report, row: Row) -> dict[str, Any]:
    """What was derived of a peer; empty where nothing was."""
    rows: list[dict[str, Any]] = report.derived.get("rows", [])
    return next((entry for entry in rows if entry["name"] == row.name), {})


def peer_sheet(report: Report) -> Sheet:
    """One line for each peer; failed ones with their reason below."""
    against = report.derived.get("against", "the first")
    lines, notes = [], []
    for row in report.rows:
        derived, parts = derived_of(report, row), row.measurements
        lines.append(
            [
                Cell(row.name),
                seconds_cell(parts.get("picture")),
                spread_cell(parts.get("picture")),
                Cell(figures.ratio(derived.get("picture_ratio"))),
                seconds_cell(parts.get("step")),
                Cell(figures.ratio(derived.get("step_ratio"))),
                seconds_cell(parts.get("first_picture")),
                *cells(
                    figures.size(row.memory_bytes()),
                    figures.size(row.facts.get("installed_bytes")),
                ),
            ]
        )
        turns = len(parts["picture"].rounds) if "picture" in parts else 0
        if 0 < turns < report.settings.get("rounds", 0):
            counted = f"{turns} round{'s' if turns > 1 else ''}"
            notes.append(f"{row.name} has {counted}: what takes as long as --limit has no further one.")
        reasons = dict.fromkeys(m.reason for m in parts.values() if m.status == "failed" and m.reason)
        notes += [f"{row.name} failed: {reason}" for reason in reasons]
    notes.append(
        f"Ratios are times over those of {against}: above 1 is slower. The first picture is timed from the start of "
        "the process."
    )
    heads = ("peer", "picture", "spread", "×", "step", "×", "first picture", "peak memory", "installed")
    return Sheet("Peers, same weights and same work", heads, lines, notes)


def environment_sheet(report: Report) -> Sheet:
    """What each peer ran on, and how far its picture is from the first one's."""
    lines = []
    for row in report.rows:
        made_of = _versions(row.facts.get("versions", {}))
        if row.facts.get("exported_by") not in (None, row.facts.get("versions")):
            made_of += f"; exported by {_versions(row.facts['exported_by'])}"
        difference = row.facts.get("picture") or {}
        lines.append(
            cells(
                row.name,
                row.facts.get("precision", figures.NONE),
                made_of or figures.NONE,
                str(difference.get("max", figures.NONE)),
                figures.significant(difference.get("mean")),
                "equal" if difference.get("max") == 0 else figures.decibels(difference.get("psnr_db")),
            )
        )
    against = report.derived.get("against", "the first")
    heads = ("peer", "computes in", "versions", "largest difference", "mean difference", "PSNR")
    notes = [f"Differences are between its picture and that of {against}, in grey levels of 255."]
    for row in report.rows:
        told = [f"{key}: {row.facts[key]}" for key in TOLD if row.facts.get(key) not in (None, HANDED_OVER)]
        notes += [f"{row.name}: {'; '.join(told)}."] if told else []
    title = "What each was made of, and how far its picture is from the first one's"
    return Sheet(title, heads, lines, notes, words=frozenset({0, 1, 2}))


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def found(report: Report) -> Iterator[str]:
    """What was found, in sentences."""
    against = report.derived.get("against")
    for row in report.rows:
        derived, parts = derived_of(report, row), row.measurements
        picture = parts.get("picture")
        reasons = [m.reason or "no reason given" for m in parts.values() if m.status == "failed"]
        if picture is None or picture.seconds is None:
            yield f"{row.name} did not run: {reasons[0] if reasons else 'no picture was finished'}"
        elif row.name == against:
            yield f"{row.name} takes {figures.seconds(picture.seconds)} for a picture, {_beside(row)}."
        else:
            ratio = derived.get("picture_ratio")
            if ratio is not None:
                yield (
                    f"{row.name} takes {figures.ratio(ratio)} the time of {against} for a picture "
                    f"({figures.seconds(picture.seconds)}), {_beside(row)}."
                )


def _beside(row: Row) -> str:
    first = row.measurements.get("first_picture")
    waits = None if first is None else first.seconds
    peak, installed = row.memory_bytes(), row.facts.get("installed_bytes")
    known = [] if waits is None else [f"{figures.seconds(waits)} from its start to the first"]
    known += [] if peak is None else [f"{figures.size(peak)} of memory at its peak"]
    known += [] if installed is None else [f"{figures.size(installed)} installed"]
    return ", ".join(known) or "its memory unknown"
