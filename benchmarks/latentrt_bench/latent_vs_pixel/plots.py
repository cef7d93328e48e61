"""Latent against pixel, drawn: step time and rate over f, speed-up over steps, memory."""

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
    apart,
    decades,
    grid,
    legend_above,
    log_axis,
    shortened,
)  # fmt: skip
from latentrt_bench.latent_vs_pixel.tables import row_of, title
from latentrt_bench.report import Measurement, Report

MOST_STEPS = 200
SHORT = FuncFormatter(lambda value, _: figures.short_seconds(value))
TIMES = FuncFormatter(lambda value, _: f"{value:g}×")


def plots(report: Report) -> Iterator[Plot]:
    """All plots for which there is something to draw."""
    sizes = report.derived.get("sizes", ())
    if not any(model["step_s"] is not None for size in sizes for model in size["models"]):
        return
    yield step_time(report)
    for index, size in enumerate(sizes):
        if any(_speeds_up(model) for model in size["models"]) and _pixels(size) is not None:
            yield speed_up(size, index)
    if any(model["memory_bytes"] is not None for size in sizes for model in size["models"]):
        yield memory(report)
    yield rate(report)


def step_time(report: Report) -> Plot:
    """Seconds of a step over f, both logarithmic; bars from the fastest round to the slowest, predictions hollow."""
    canvas = Canvas()
    axes = canvas.axes
    for index, size in enumerate(report.derived["sizes"]):
        points = [(m["f"], m["step_s"], m) for m in size["models"] if m["step_s"] is not None]
        colour = COLOURS[index % len(COLOURS)]
        marker = MARKERS[index % len(MARKERS)]
        axes.plot([p[0] for p in points], [p[1] for p in points], color=colour, linewidth=1.4, zorder=2)
        axes.plot([], [], color=colour, marker=marker, markersize=7, linewidth=1.4, label=title(size))
        for f, seconds, model in points:
            row = row_of(report, size, f)
            step = row.measurements.get("step") if row is not None else None
            hollow = model["step_status"] == "predicted"
            axes.errorbar(
                f, seconds, yerr=_reach(step), fmt=marker, markersize=7, color=colour, zorder=3,
                markerfacecolor="white" if hollow else colour, capsize=3,
            )  # fmt: skip
    _f_axis(axes, report)
    log_axis(axes, "y", SHORT)
    axes.set_ylabel("seconds per denoising step")
    grid(axes)
    legend_above(axes)
    caption = "Bars reach from the fastest round to the slowest; hollow points are predicted, not measured."
    return canvas.plot("step-time", "Time of a denoising step, by how far the picture is compressed", caption)


def rate(report: Report) -> Plot:
    """Multiply-accumulates a second that each step reaches, over f, with the machine's limits."""
    canvas = Canvas()
    axes = canvas.axes
    for index, size in enumerate(report.derived["sizes"]):
        points = []
        for model in size["models"]:
            row = row_of(report, size, model["f"])
            step = row.measurements.get("step") if row is not None else None
            if step is not None and step.macs_per_second is not None:
                points.append((model["f"], step.macs_per_second / 1e9))
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=7, linewidth=1.4, label=title(size))
    for name, limit in (report.ceilings or {}).items():
        if limit.get("macs_per_s") is None:
            continue
        axes.axhline(limit["macs_per_s"] / 1e9, color=FAINT, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.text(1, limit["macs_per_s"] / 1e9, shortened(f"limit, {name}"), va="bottom", ha="right", color=FAINT,
                  transform=axes.get_yaxis_transform())  # fmt: skip
    _f_axis(axes, report)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.06)  # room for a limit's name above its line
    axes.set_ylabel("GMAC/s")
    grid(axes)
    legend_above(axes)
    caption = (
        "Where the rate falls, the speed-up stays behind what MACs promise; where it rises, it runs ahead. "
        "The limit is the rate of the best kernel in the same run."
    )
    return canvas.plot("rate", "How fast each step computes", caption)


def speed_up(size: dict[str, Any], index: int = 0) -> Plot:
    """Times faster than pixel space over the number of steps, decode included, a curve for each f."""
    canvas = Canvas(320)
    axes = canvas.axes
    pixels = _pixels(size)
    assert pixels is not None  # the caller has looked
    steps = np.geomspace(1, MOST_STEPS, 200)
    curves = [m for m in size["models"] if _speeds_up(m)]
    # One hue from light to dark: f has an order. All are dark enough to be seen on white.
    shades = _shades(len(curves))
    ends, low = [], 0.7
    for model, shade in zip(curves, shades, strict=True):
        gain = steps * pixels / (steps * model["step_s"] + model["decode_s"])
        dashes = (0, (5, 2)) if model["is_predicted"] else "solid"
        axes.plot(steps, gain, color=shade, linewidth=2, linestyle=dashes)
        ends.append(float(gain[-1]))
        low = min(low, float(gain[0]) / 1.2)
        # faster than pixels from n (pixels - step) > decode on
        saved = pixels - model["step_s"]
        even = model["decode_s"] / saved if saved > 0 else float("inf")
        if 1 <= even <= MOST_STEPS:
            axes.plot(
                even, 1, "o", markersize=8, markerfacecolor="white", color=shade, markeredgewidth=2, zorder=4
            )
    axes.axhline(1, color=INK, linewidth=1.2)
    axes.text(MOST_STEPS, 1, "as fast as pixels", va="top", ha="right", color=FAINT)
    log_axis(axes, "x", FuncFormatter(lambda value, _: f"{value:g}"), (1, 4, 20, 50, 200))
    axes.set_xlim(1, MOST_STEPS)
    high = max([*ends, 2.0]) * 1.6
    log_axis(axes, "y", TIMES, decades(low, high))
    axes.set_ylim(low, high)
    places = [float(np.log(end / low) / np.log(high / low)) for end in ends]
    for model, shade, place in zip(curves, shades, apart(places, 0.07), strict=True):
        axes.text(1.02, place, f"f = {model['f']}", color=shade, va="center", ha="left", weight="bold",
                  transform=axes.transAxes)  # fmt: skip
    axes.set_xlabel("denoising steps of a picture")
    axes.set_ylabel("times faster than in pixel space")
    grid(axes)
    caption = (
        "A ring marks where a curve breaks even with pixels; one without wins from the first step, or never."
    )
    lost = [str(m["f"]) for m in size["models"] if m["f"] > 1 and not _speeds_up(m)]
    if lost:
        caption += f" Not measured to the end: f = {', '.join(lost)}."
    if any(m["is_predicted"] for m in curves):
        caption += " Dashed: a step or the decode did not run, and is predicted."
    heading = f"Speed-up over pixels at {title(size)}, decode included"
    return canvas.plot(f"speed-up-{index}", heading, caption)


def memory(report: Report) -> Plot:
    """Peak memory of each model in a process of its own, by size."""
    canvas = Canvas()
    axes = canvas.axes
    sizes = report.derived["sizes"]
    factors = _factors(report)
    wide = 0.8 / len(sizes)
    for index, size in enumerate(sizes):
        known = {m["f"]: m["memory_bytes"] for m in size["models"] if m["memory_bytes"] is not None}
        xs = [factors.index(f) - 0.4 + wide * (index + 0.5) for f in known]
        gigabytes = [value / 1e9 for value in known.values()]
        axes.bar(xs, gigabytes, wide * 0.92, color=COLOURS[index % len(COLOURS)], label=title(size))
        if len(sizes) > 2:
            continue  # no room for numbers; the tables tell them
        for x, value in zip(xs, gigabytes, strict=True):
            axes.text(x, value, figures.significant(value, 2), ha="center", va="bottom", fontsize=FONT - 0.5)
    axes.set_xticks(range(len(factors)), [_f_name(f) for f in factors])
    axes.set_xlabel("downsampling factor f")
    axes.set_ylabel("peak memory in GB")
    grid(axes)
    legend_above(axes)
    caption = (
        "The most that a process of its own had in memory; a missing bar: its step or its decode did not run."
    )
    return canvas.plot("memory", "Memory that each needs", caption)


def _reach(measurement: Measurement | None) -> Any:
    if measurement is None or measurement.status != "measured" or len(measurement.medians) < 2:
        return None
    middle = measurement.seconds or 0.0
    return [[middle - min(measurement.medians)], [max(measurement.medians) - middle]]


def _pixels(size: dict[str, Any]) -> float | None:
    return next((model["step_s"] for model in size["models"] if model["f"] == 1), None)


def _speeds_up(model: dict[str, Any]) -> bool:
    return model["f"] > 1 and model["step_s"] is not None and model["decode_s"] is not None


def _factors(report: Report) -> list[int]:
    return sorted({model["f"] for size in report.derived["sizes"] for model in size["models"]})


def _f_name(f: int) -> str:
    return "1\npixels" if f == 1 else str(f)


def _f_axis(axes: Any, report: Report) -> None:
    factors = _factors(report)
    log_axis(axes, "x", FuncFormatter(lambda value, _: _f_name(round(value))), factors)
    axes.set_xlim(factors[0] / 1.25, factors[-1] * 1.25)
    axes.set_xlabel("downsampling factor f")


def _shades(number: int) -> list[tuple[float, ...]]:
    light, dark = np.array([0.16, 0.52, 0.78]), np.array([0.0, 0.20, 0.38])
    return [tuple(light + (dark - light) * at) for at in np.linspace(0, 1, max(number, 1))][:number]
