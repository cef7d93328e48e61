"""What follows from the rows of latent-vs-pixel: speed-ups, break-even, predictions, and why ratios part."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from latentrt_bench.display import figures
from latentrt_bench.latent_vs_pixel.paper import TABLE_6, TABLE_8
from latentrt_bench.measuring.rounds import OUT_OF_MEMORY
from latentrt_bench.report import Measurement, Report, Row

STEPS = (1, 4, 20, 50, 200)
PARTS = {"step": "unet", "decode": "decoder", "encode": "encoder"}  # what one call of a measurement runs
AGREE = 0.10  # measured and MAC ratio are called equal within this
WEIGHTS_MATTER = 0.25  # the share of a step from which reading the weights is named as what slows it


def predict(report: Report) -> None:
    """Turn what memory did not hold into a prediction: its MACs at the rate that the nearest relative reached."""
    for row in report.rows:
        for what, measurement in row.measurements.items():
            lacks_memory = measurement.status == "failed" and (measurement.reason or "").startswith(
                OUT_OF_MEMORY
            )
            if not (lacks_memory or measurement.status == "predicted") or measurement.macs is None:
                continue
            relative = _relative(report, row, what)
            if relative is None:
                measurement.status, measurement.reason = "failed", "nothing was measured to predict it from"
                continue
            name, rate = relative
            needs = _activation_bytes(row, what)
            measurement.status = "predicted"
            measurement.predicted_s = measurement.macs / rate
            measurement.reason = (
                f"from {figures.macs(measurement.macs)} at {figures.macs(rate)}/s, which {name} reached; computed as "
                f"this graph does, activations take {figures.size(needs)} at once"
            )


def _activation_bytes(row: Row, what: str) -> int:
    part = PARTS[what]
    needs: int = row.facts[f"{part}_activation_bytes"]
    return needs


def _relative(report: Report, row: Row, what: str) -> tuple[str, float] | None:
    """Name and MAC/s of what was measured and is most like it: the same network on smaller pictures, else the largest.

    The largest by MACs of one call: the further work grows, the less the rate still changes.
    """
    candidates = [
        (
            other.configuration["model"] == row.configuration["model"],
            m.macs or 0,
            other.name,
            m.macs_per_second,
        )
        for other in report.rows
        if (m := other.measurements.get(what)) is not None and m.macs_per_second is not None
    ]
    if not candidates:
        return None
    _, _, name, rate = max(candidates, key=lambda c: c[:2])
    return f"{name} ({what})", rate or math.nan


def derive(report: Report) -> dict[str, Any]:
    """The tables of the report that are computed; see docs/benchmarks.md."""
    ldms = [row for row in report.rows if "f" in row.configuration]
    bandwidth = _bandwidth(report)
    key = lambda row: (row.configuration["width"], row.configuration["height"], row.configuration["batch"])  # noqa: E731
    return {
        "sizes": [_size(list(rows), bandwidth) for _, rows in groupby(ldms, key)],
        "predicted": list(_predicted(report)),
        "quality": {
            "measured": report.derived.get("quality", {}).get("measured"),
            "paper_table_8": [
                {"kind": kind, "f": f, "rfid": rfid, "psnr_db": psnr} for kind, f, rfid, psnr in TABLE_8
            ],
        },
    }


def _bandwidth(report: Report) -> float | None:
    ceilings = list((report.ceilings or {}).values())
    return ceilings[0]["bytes_per_s"] if ceilings else None


def _size(rows: list[Row], bandwidth: float | None) -> dict[str, Any]:
    where = rows[0].configuration
    pixels = next((row for row in rows if row.configuration["f"] == 1), None)
    models = [_model(row, pixels, bandwidth) for row in rows]
    ours = next((model for model in models if model["f"] == 4 and model["ratio_status"] == "measured"), None)
    paper = TABLE_6.get(where["width"]) if where["width"] == where["height"] else None
    pair = None if paper is None or ours is None else {"paper": paper, "measured": ours["step_ratio"]}
    return {
        **{key: where[key] for key in ("width", "height", "batch")},
        "models": models,
        "paper_table_6": pair,
    }


def _model(row: Row, pixels: Row | None, bandwidth: float | None) -> dict[str, Any]:
    f = row.configuration["f"]
    step, decode, encode = (row.measurements.get(what) for what in ("step", "decode", "encode"))
    step_s, encode_s = _seconds(step), _seconds(encode)
    decode_s = 0.0 if f == 1 else _seconds(decode)
    pixel_step = pixels.measurements.get("step") if pixels is not None else None
    pixel_s = _seconds(pixel_step)
    step_ratio = pixel_s / step_s if pixel_s is not None and step_s else None
    mac_ratio = None
    if pixel_step is not None and pixel_step.macs and step is not None and step.macs:
        mac_ratio = pixel_step.macs / step.macs
    rate_ratio = step_ratio / mac_ratio if step_ratio is not None and mac_ratio is not None else None
    memory, pixel_memory = _memory(row), None if pixels is None else _memory(pixels)
    return {
        "f": f,
        "name": row.configuration["model"],
        "step_s": step_s,
        "step_status": None if step is None else step.status,
        "decode_s": decode_s,
        "encode_s": encode_s,
        "step_ratio": step_ratio,
        "ratio_status": _ratio_status(step, pixel_step),
        "mac_ratio": mac_ratio,
        "rate_ratio": rate_ratio,
        "reason": _reason(step, pixel_step, rate_ratio, bandwidth, row),
        "pictures": {
            str(n): _picture(n, step_s, decode_s, pixel_s, row.configuration["batch"]) for n in STEPS
        },
        "is_predicted": "predicted" in [m.status for m in (step, decode, pixel_step) if m is not None],
        "break_even_steps": break_even(step_s, decode_s, pixel_s),
        "memory_bytes": memory,
        "memory_ratio": pixel_memory / memory if memory and pixel_memory else None,
        "joules": _joules(step, decode, f, row.configuration["batch"]),
    }


def _ratio_status(step: Measurement | None, pixel: Measurement | None) -> str | None:
    """Whether the ratio of a step on pixels to one on latents was measured, or rests on a prediction."""
    if step is None or pixel is None or step.seconds is None or pixel.seconds is None:
        return None
    return "predicted" if "predicted" in (step.status, pixel.status) else "measured"


def _seconds(measurement: Measurement | None) -> float | None:
    return None if measurement is None else measurement.seconds


def _memory(row: Row) -> int | None:
    """The most that painting takes when each network is loaded for its stage alone; the encoder has no part in it."""
    peaks = [row.memory_bytes(what) for what in ("step", "decode") if what in row.measurements]
    known = [peak for peak in peaks if peak is not None]
    return max(known) if known and len(known) == len(peaks) else None


def _picture(
    n: int, step_s: float | None, decode_s: float | None, pixel_s: float | None, batch: int
) -> dict[str, float | None]:
    """One picture of n steps: its share of the batch."""
    seconds = (n * step_s + decode_s) / batch if step_s is not None and decode_s is not None else None
    return {
        "seconds": seconds,
        "ratio": n * pixel_s / batch / seconds if seconds and pixel_s is not None else None,
    }


def break_even(step_s: float | None, decode_s: float | None, pixel_s: float | None) -> int | None:
    """The least number of steps n with n · step + decode < n · pixel step; None where there is none, or for pixels."""
    if step_s is None or not decode_s or pixel_s is None or step_s >= pixel_s:
        return None
    return math.floor(decode_s / (pixel_s - step_s)) + 1


def _joules(
    step: Measurement | None, decode: Measurement | None, f: int, batch: int
) -> dict[str, float] | None:
    """Of one picture, by number of steps; None where the machine does not report energy."""
    per_step, per_decode = _joules_a_call(step), 0.0 if f == 1 else _joules_a_call(decode)
    if per_step is None or per_decode is None:
        return None
    return {str(n): (n * per_step + per_decode) / batch for n in STEPS}


def _joules_a_call(measurement: Measurement | None) -> float | None:
    if measurement is None or measurement.status != "measured" or not measurement.joules:
        return None
    return sum(measurement.joules) / len(measurement.joules)


def _reason(
    step: Measurement | None,
    pixel: Measurement | None,
    rate_ratio: float | None,
    bandwidth: float | None,
    row: Row,
) -> str:
    """One sentence on why the measured ratio is not that of the MACs."""
    if step is None or pixel is None or rate_ratio is None or step is pixel:
        return ""
    if step.status != "measured":
        return "its step is predicted from its MACs, so that the ratio is not measured"
    if pixel.status != "measured":
        return "the step on pixels is predicted from its MACs, so that the ratio is not measured"
    if min(len(step.medians), len(pixel.medians)) < 2:
        return "a single round does not tell whether it is that of the MACs"
    noise = step.log_range + pixel.log_range
    if abs(math.log(rate_ratio)) <= math.log1p(AGREE):
        return f"equal within {AGREE:.0%}, as it is where arithmetic binds both"
    if abs(math.log(rate_ratio)) <= noise:
        return f"no further from that of the MACs than rounds are from each other, {math.expm1(noise):.0%}"
    if rate_ratio > 1:
        return (
            f"{figures.macs(step.macs_per_second)}/s here, {figures.macs(pixel.macs_per_second)}/s on pixels, whose "
            "maps may be too large for the caches"
        )
    seconds, weights = step.seconds or math.nan, row.facts.get("unet_weight_bytes")
    if bandwidth is not None and weights is not None and 1 > weights / bandwidth / seconds >= WEIGHTS_MATTER:
        return (
            f"each step reads {figures.size(weights)} of weights, at this machine's memory bandwidth alone "
            f"{figures.seconds(weights / bandwidth)} of its {figures.seconds(seconds)}"
        )
    return (
        f"{figures.macs(step.macs_per_second)}/s here, {figures.macs(pixel.macs_per_second)}/s on pixels: smaller maps "
        "make smaller matrix products, which may be why"
    )


def _predicted(report: Report) -> Iterator[dict[str, Any]]:
    """What was not run, with what it is to be compared with."""
    for row in report.rows:
        for what, measurement in row.measurements.items():
            if measurement.status != "predicted":
                continue
            base = _counterpart(report, row, what)
            yield {
                "name": f"{row.name}, {what}",
                "macs": measurement.macs,
                "seconds": measurement.predicted_s,
                "memory_bytes": _activation_bytes(row, what),
                "ratio": measurement.predicted_s / base.seconds
                if base is not None and base.seconds and measurement.predicted_s
                else None,
                "against": None if base is None else "its step on latents",
                "reason": measurement.reason,
            }


def _counterpart(report: Report, row: Row, what: str) -> Measurement | None:
    """The same network on the latents of the same picture."""
    if row.configuration.get("on") != "pixels":
        return None
    for other in report.rows:
        if (
            other.configuration.get("on") == "latents"
            and other.configuration["model"] == row.configuration["model"]
        ):
            return other.measurements.get(what)
    return None
