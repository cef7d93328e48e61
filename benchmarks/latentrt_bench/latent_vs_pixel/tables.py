"""Latent against pixel: its tables, and what was found in sentences."""

from collections.abc import Iterator
from typing import Any

from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Cell, Sheet, cells, seconds_cell, spread_cell
from latentrt_bench.latent_vs_pixel import derive
from latentrt_bench.report import Measurement, Report, Row

STEPS = tuple(map(str, derive.STEPS))
PAPER = "arXiv:2112.10752"


def sheets(report: Report) -> list[Sheet]:
    """Two tables for each size, then predictions and quality."""
    found = []
    for size in report.derived.get("sizes", ()):
        found += [step_sheet(report, size), picture_sheet(report, size)]
    others = [row for row in report.rows if "f" not in row.configuration]
    if others:
        found.append(_others_sheet(others))
    predicted = report.derived.get("predicted", ())
    if predicted:
        found.append(_predicted_sheet(predicted))
    quality = report.derived.get("quality")
    if quality:
        found.append(_quality_sheet(quality))
    return found


def title(size: dict[str, Any]) -> str:
    """What a size is called: "256×256", "256×256, batch 4"."""
    batch = f", batch {size['batch']}" if size["batch"] != 1 else ""
    return f"{size['width']}×{size['height']}{batch}"


def row_of(report: Report, size: dict[str, Any], f: int) -> Row | None:
    """The row that a model at a size was derived from; None where it was not run."""
    wanted = {"f": f, **{key: size[key] for key in ("width", "height", "batch")}}
    for row in report.rows:
        if all(row.configuration.get(key) == value for key, value in wanted.items()):
            return row
    return None


def step_sheet(report: Report, size: dict[str, Any]) -> Sheet:
    """What one step, one decode and one encode take."""
    heads = ("model", "latent", "params", "step", "spread", "GMAC/s", "× pixels measured", "by MACs",
             "decode", "GMAC/s", "encode", "GMAC/s", "peak memory")  # fmt: skip
    lines, notes = [], []
    reasons: dict[str, list[str]] = {}
    for model in size["models"]:
        row = row_of(report, size, model["f"])
        facts, parts = ({}, {}) if row is None else (row.facts, row.measurements)
        step: Measurement | None = parts.get("step")
        is_predicted = model.get("ratio_status") == "predicted"
        lines.append(
            [
                *cells(
                    model["name"],
                    "×".join(map(str, facts.get("latent", ()))) or figures.NONE,
                    figures.count(facts.get("parameters")),
                ),
                seconds_cell(step),
                spread_cell(step),
                _rate_cell(step),
                Cell(figures.ratio(model["step_ratio"]), "predicted" if is_predicted else ""),
                Cell(figures.ratio(model["mac_ratio"])),
                *(
                    cell
                    for what in ("decode", "encode")
                    for cell in (seconds_cell(parts.get(what)), _rate_cell(parts.get(what)))
                ),
                Cell(figures.size(model["memory_bytes"])),
            ]
        )
        if model["reason"]:
            reasons.setdefault(model["reason"], []).append(model["name"])
        notes += [
            f"{model['name']}, {name}, {m.status}: {m.reason}"
            for name, m in parts.items()
            if m.status != "measured" and m.reason
        ]
    notes += [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    table_6 = size.get("paper_table_6")
    if table_6 is not None:
        notes.append(
            f"Pixels against LDM-4 in the paper's table 6 ({PAPER}; whole samples of an inpainting model on a GPU): "
            f"{figures.ratio(table_6['paper'])}; here, a step: {figures.ratio(table_6['measured'])}."
        )
    return Sheet(f"One denoising step of {title(size)}", heads, lines, notes)


def picture_sheet(report: Report, size: dict[str, Any]) -> Sheet:
    """How many times faster than in pixel space a whole picture is, the decode included, and what one costs."""
    has_joules = any(model["joules"] for model in size["models"])
    heads = ["model", *(f"{n} step{'s' if n != '1' else ''}" for n in STEPS), "wins from", "50 steps take"]
    heads += ["and use"] if has_joules else []
    heads += ["memory less by"]
    lines = []
    for model in size["models"]:
        pictures = model["pictures"]
        line = [Cell(model["name"] + (" *" if model["is_predicted"] else ""))]
        line += [Cell(figures.ratio(_of(pictures, n, "ratio"))) for n in STEPS]
        line += [Cell(break_even(model)), Cell(figures.seconds(_of(pictures, "50", "seconds")))]
        if has_joules:
            line.append(Cell(figures.energy((model["joules"] or {}).get("50"))))
        line.append(Cell(figures.ratio(model["memory_ratio"])))
        lines.append(line)
    notes = [
        "Memory is the larger peak of UNet and decoder, loading included: where maps are small that is their weights', "
        "not that of denoising. Where one of the two did not run, none is told."
    ]
    if any(model["is_predicted"] for model in size["models"]):
        notes.insert(
            0, "* predicted: its step, its decode or the step on pixels did not run, and is told by its MACs."
        )
    return Sheet(
        f"Whole pictures of {title(size)}: speed-up over pixels, decode included", heads, lines, notes
    )


def _rate_cell(measurement: Measurement | None) -> Cell:
    """The GMAC/s that were reached."""
    rate = None if measurement is None else measurement.macs_per_second
    return Cell(figures.significant(None if rate is None else rate / 1e9))


def break_even(model: dict[str, Any]) -> str:
    """From how many steps on it is faster than pixel space."""
    if model["f"] == 1:
        return figures.NONE
    steps = model["break_even_steps"]
    if steps is None:
        known = model["decode_s"] is not None and model["step_ratio"] is not None
        return "never" if known else figures.NONE
    return f"{steps} step{'s' if steps != 1 else ''}"


def _of(pictures: dict[str, Any], steps: str, what: str) -> float | None:
    value: float | None = (pictures.get(steps) or {}).get(what)
    return value


def _others_sheet(rows: list[Row]) -> Sheet:
    """Networks that are none of the paper's."""
    lines = []
    for row in rows:
        step = row.measurements.get("step")
        lines.append(
            [
                *cells(row.name, figures.count(row.facts.get("parameters"))),
                Cell(figures.macs(None if step is None else step.macs)),
                seconds_cell(step),
                spread_cell(step),
                _rate_cell(step),
                Cell(figures.size(row.memory_bytes("step"))),
            ]
        )
    heads = ("network", "params", "work", "step", "spread", "GMAC/s", "peak memory")
    notes = [
        f"{r.name}, failed: {m.reason}" for r in rows for m in r.measurements.values() if m.status == "failed"
    ]
    return Sheet("Networks that are not the paper's", heads, lines, notes)


def _predicted_sheet(predicted: list[dict[str, Any]]) -> Sheet:
    lines = [
        [
            Cell(entry["name"]),
            Cell(figures.macs(entry["macs"])),
            Cell(figures.seconds(entry["seconds"]), "predicted"),
            Cell(figures.size(entry["memory_bytes"]), "predicted"),
            Cell(figures.ratio(entry["ratio"]), "predicted" if entry["ratio"] is not None else ""),
        ]
        for entry in predicted
    ]
    notes = [f"{entry['name']}: {entry['reason']}" for entry in predicted if entry["reason"]]
    heads = ("what was not run", "work of a call", "a call", "activations", "× on latents")
    return Sheet("What was not run, and what it would take", heads, lines, notes)


def _quality_sheet(quality: dict[str, Any]) -> Sheet:
    lines = [
        cells(
            f"paper, {entry['kind']}",
            str(entry["f"]),
            f"{entry['psnr_db']} dB",  # to the digit as the paper has them
            str(entry["rfid"]),
        )
        for entry in quality["paper_table_8"]
    ]
    measured = quality.get("measured")
    if measured is not None:
        name = f"measured: {measured['model']} model, {measured['pictures']} pictures"
        lines.insert(0, cells(name, str(measured["f"]), figures.decibels(measured["psnr_db"]), figures.NONE))
    note = (
        f"Paper: table 8 of {PAPER}, on ImageNet. The measured figure is of other pictures, so that it is neither "
        "better nor worse than the paper's: read how quality falls as f grows."
    )
    heads = ("autoencoder", "f", "PSNR", "rFID")
    return Sheet("What compression costs: quality of the autoencoder alone", heads, lines, [note])


def found(report: Report) -> Iterator[str]:
    """What was found, in sentences: where the claim holds, and where it does not."""
    for size in report.derived.get("sizes", ()):
        yield from _found_at(size)
    for entry in report.derived.get("predicted", ()):
        if entry["name"].startswith("LDM-"):
            continue  # what is said of its size says it
        beside = "" if entry["ratio"] is None else f", {figures.ratio(entry['ratio'])} the time on latents"
        yield (
            f"{entry['name']}: would take about {figures.seconds(entry['seconds'])}{beside}, and, computed as its "
            f"graph does, {figures.size(entry['memory_bytes'])} for activations (predicted, not run)."
        )
    measured = (report.derived.get("quality") or {}).get("measured")
    if measured is not None:
        paper = [
            e
            for e in report.derived["quality"]["paper_table_8"]
            if (e["kind"], e["f"]) == ("KL", measured["f"])
        ]
        photographs = "".join(f"; the paper's, photographs with {e['psnr_db']} dB" for e in paper)
        yield (
            f"The gain is not free: at f = {measured['f']}, the {measured['model']} model's autoencoder gives simple "
            f"pictures back with {figures.decibels(measured['psnr_db'])} PSNR{photographs}."
        )


def _found_at(size: dict[str, Any]) -> Iterator[str]:
    models = {model["f"]: model for model in size["models"]}
    pixels = models.get(1)
    if pixels is None or pixels["step_s"] is None:
        yield f"At {title(size)}, nothing can be said: the step in pixel space was not measured."
        return
    predicted = pixels["step_status"] == "predicted"
    compared = [m for f, m in models.items() if f > 1 and m["step_ratio"] is not None]
    named = min(compared, key=lambda m: m["f"] != 4, default=None)  # LDM-4, where there is one
    if named is not None:
        yield (
            f"At {title(size)}, a denoising step took {_step(named)} with {named['name']}, against {_step(pixels)} in "
            f"pixel space: {figures.ratio(named['step_ratio'])} as fast, where MACs alone promise "
            f"{figures.ratio(named['mac_ratio'])}."
        )
        at_1, at_50 = (_of(named["pictures"], n, "ratio") for n in ("1", "50"))
        if at_1 is not None and at_50 is not None:
            yield (
                f"With the decode, {named['name']} at {title(size)} is {figures.ratio(at_50)} as fast as pixels over "
                f"50 steps, and {figures.ratio(at_1)} with a single one{_if_predicted(named)}."
            )
    losers = []
    for f, model in models.items():
        ratio = _of(model["pictures"], "1", "ratio")
        if f > 1 and ratio is not None and ratio < 1:
            by = "predicted " if model["is_predicted"] and not predicted else ""
            losers.append(f"{model['name']} ({by}{figures.ratio(ratio)})")
    if losers:
        are = "are" if len(losers) > 1 else "is"
        yield (
            f"Where it does not hold at {title(size)}: with one step, {' and '.join(losers)} {are} slower than pixels, "
            "because the decode takes longer than the step saves."
        )
    best = max(models.values(), key=lambda m: _of(m["pictures"], "50", "ratio") or 0)
    gain, whole = (_of(best["pictures"], "50", what) for what in ("ratio", "seconds"))
    if best["f"] > 1 and gain is not None and whole is not None and best["decode_s"] is not None:
        decode_s = best["decode_s"] / size["batch"]  # of one picture, as the whole is
        yield (
            f"The most at {title(size)}: {best['name']} with {figures.ratio(best['step_ratio'])} a step, and "
            f"{figures.ratio(gain)} over 50 steps, since the decode takes {figures.percent(decode_s / whole)} of that "
            f"time{_if_predicted(best)}."
        )


def _step(model: dict[str, Any]) -> str:
    word = " (predicted: it did not run)" if model["step_status"] == "predicted" else ""
    return figures.seconds(model["step_s"]) + word


def _if_predicted(model: dict[str, Any]) -> str:
    return " (predicted in part)" if model["is_predicted"] else ""
