"""A model's stages, drawn: shares of a picture's time, roofline, memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from latentrt_bench.display import figures
from latentrt_bench.display.canvas import (
    COLOURS,
    FAINT,
    FONT,
    INK,
    MARKERS,
    Canvas,
    Plot,
    bars,
    decades,
    legend_above,
    log_axis,
    shortened,
)  # fmt: skip
from latentrt_bench.model.tables import derived_of, stage_name
from latentrt_bench.report import Report

# Stages in their order in a picture, with their colours; `DARK` ones carry white words.
STAGES = {
    "load": COLOURS[4],
    "text_encoder": COLOURS[2],
    "text_encoder_2": COLOURS[2],
    "unet": COLOURS[0],
    "unet_guided": COLOURS[5],
    "vae_decoder": COLOURS[1],
    "vae_encoder": COLOURS[3],
    "other": COLOURS[6],
}
DARK = frozenset({COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[6]})
LABELLED = 0.09  # of the width: a share below has no room for its number


def plots(report: Report) -> Iterator[Plot]:
    """All plots for which there is something to draw."""
    if any(derived_of(report, row).get("shares") for row in report.rows):
        yield stage_shares(report)
    if report.ceilings and _points(report):
        yield roofline(report)
    peaks = [(row.name, row.memory_bytes()) for row in report.rows]
    if any(peak is not None for _, peak in peaks):
        values = [
            (name, None if p is None else p / 1e9, "not measured" if p is None else figures.size(p), "")
            for name, p in peaks
        ]
        caption = "The most that any process of a configuration had in memory."
        yield bars("memory", "Memory that each configuration needs", caption, "GB", values)


def stage_shares(report: Report) -> Plot:
    """What part of a picture's time each stage takes: a stacked bar for each configuration."""
    known = [(row.name, s) for row in report.rows if (s := derived_of(report, row).get("shares"))]
    stages = _ordered({stage for _, shares in known for stage in shares})
    canvas = Canvas(100 + 40 * len(known))
    axes = canvas.axes
    for at, (name, shares) in enumerate(known):
        left = 0.0
        for stage in stages:
            share = 100 * shares.get(stage, 0)
            axes.barh(
                at, share, left=left, height=0.46, color=_colour(stage), edgecolor="white",
                label=shortened(stage_name(stage)) if at == 0 else None,
            )  # fmt: skip
            if share >= 100 * LABELLED:
                axes.text(
                    left + share / 2,
                    at,
                    f"{share:.0f} %",
                    color="white" if _colour(stage) in DARK else INK,
                    weight="bold",
                    ha="center",
                    va="center",
                )
            left += share
        axes.text(0, at - 0.32, shortened(name), va="bottom", ha="left")
    axes.set_xlim(0, 100)
    axes.set_ylim(len(known) - 0.6, -0.85)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("percent of a picture's time")
    legend_above(axes)
    caption = "Shares below nine percent have no room for their number; the tables tell them."
    return canvas.plot("stage-shares", "Where the time of a picture goes", caption)


def roofline(report: Report) -> Plot:
    """Rate over intensity, both logarithmic: the machine's limits as lines, what the stages reach as points."""
    canvas = Canvas(340)
    axes = canvas.axes
    points = _points(report)
    limits = [
        (name, limit["macs_per_s"], limit["bytes_per_s"])
        for name, limit in (report.ceilings or {}).items()
        if limit.get("macs_per_s") and limit.get("bytes_per_s")
    ]
    intensities = [p["intensity"] for p in points] + [rate / moved for _, rate, moved in limits]
    xs = np.geomspace(min(intensities) / 3, max(intensities) * 3, 200)
    for index, (name, rate, moved) in enumerate(limits):
        dashes = ((0, (1, 0)), (0, (6, 3)), (0, (2, 2)))[index % 3]
        limit = np.minimum(rate, moved * xs)
        axes.plot(xs, limit / 1e9, color=FAINT, linewidth=1.6, linestyle=dashes, zorder=1)
        axes.text(xs[-1], rate / 1e9, shortened(name), color=FAINT, ha="right", va="bottom", fontsize=FONT)
    for stage in _ordered({p["what"] for p in points}):
        of_stage = [p for p in points if p["what"] == stage]
        axes.plot(
            [p["intensity"] for p in of_stage], [p["macs_per_s"] / 1e9 for p in of_stage], MARKERS[_place(stage)],
            color=_colour(stage), markersize=8, markeredgecolor="white", label=shortened(stage_name(stage)), zorder=3,
        )  # fmt: skip
    for p in points:
        axes.plot(
            p["intensity"],
            p["limit_macs_per_s"] / 1e9,
            "_",
            color=_colour(p["what"]),
            markersize=13,
            zorder=2,
        )
    number = FuncFormatter(lambda value, _: f"{value:,g}")
    log_axis(axes, "x", number)
    low = min(p["macs_per_s"] for p in points) / 2e9
    high = (
        max(
            rate
            for rate in (
                *(p["macs_per_s"] for p in points),
                *(p["limit_macs_per_s"] for p in points),
                *(rate for _, rate, _ in limits),
            )
        )
        * 1.5e-9
    )
    log_axis(axes, "y", number, decades(low, high))
    axes.set_ylim(low, high)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_xlabel("work for each byte that must move, MAC/byte")
    axes.set_ylabel("GMAC/s")
    axes.grid(color="#e4e7eb", linewidth=0.8)
    legend_above(axes)
    caption = (
        "Lines are what this machine can do, measured in the same run: the slope is how fast memory is moved, the flat "
        "part the rate of the best kernel. Each stage has a point for each configuration, and a dash at its own limit, "
        "which allows for what caches keep."
    )
    return canvas.plot("roofline", "How near each stage comes to the machine's limits", caption)


def _points(report: Report) -> list[dict[str, Any]]:
    points = [p for row in report.rows for p in derived_of(report, row).get("roofline", ())]
    return [p for p in points if p["intensity"] and p["macs_per_s"]]


def _ordered(stages: set[str]) -> list[str]:
    return sorted(stages, key=lambda stage: (_place(stage), stage))


def _place(stage: str) -> int:
    names = list(STAGES)
    return names.index(stage) if stage in STAGES else len(names) - 1


def _colour(stage: str) -> str:
    return STAGES.get(stage, STAGES["other"])
