"""A model's stages: its tables, and what was found in sentences."""

from collections.abc import Iterator
from typing import Any

from latentrt_bench import compare
from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Cell, Sheet, cells, seconds_cell, spread_cell, without_empty
from latentrt_bench.model.derive import COLD, PICTURE, WARM
from latentrt_bench.report import Report, Row

NAMES = {
    "text_encoder": "text encoder",
    "text_encoder_2": "text encoder 2",
    "unet": "UNet step",
    "unet_guided": "UNet step, guided",
    "vae_encoder": "VAE encode",
    "vae_decoder": "VAE decode",
    "other": "all else",
}
NETWORKS = {
    "text_encoder": "text encoder",
    "text_encoder_2": "text encoder 2",
    "unet": "UNet",
    "vae_encoder": "VAE encoder",
    "vae_decoder": "VAE decoder",
}


def sheets(report: Report) -> list[Sheet]:
    """Whole pictures of all configurations, the stages and the loading of each, the machine's own limits."""
    found = [picture_sheet(report)] if any(_pictures(row) for row in report.rows) else []
    for row in report.rows:
        if any(not name.startswith((PICTURE, COLD, WARM)) for name in row.measurements):
            found.append(stage_sheet(report, row))
        if any(name.startswith((COLD, WARM)) for name in row.measurements):
            found.append(_load_sheet(row))
    if report.ceilings:
        found.append(ceiling_sheet(report.ceilings))
    compared = report.derived.get("compared")
    return found if compared is None else [*found, *compare.sheets(compare.from_data(compared))]


def derived_of(report: Report, row: Row) -> dict[str, Any]:
    """What was derived of a row; empty where nothing was."""
    rows: list[dict[str, Any]] = report.derived.get("rows", [])
    return next((entry for entry in rows if entry["name"] == row.name), {})


def stage_name(name: str) -> str:
    """What a stage is called for a reader."""
    return NAMES.get(name, name.removeprefix(PICTURE))


def picture_sheet(report: Report) -> Sheet:
    """Seconds of a whole picture, and pictures a minute, by configuration and sampler."""
    lines, notes = [], []
    for row in report.rows:
        per_minute = derived_of(report, row).get("pictures_per_minute", {})
        for sampler, measurement in _pictures(row).items():
            lines.append(
                [
                    *cells(row.name, sampler, str(row.configuration.get("steps", figures.NONE))),
                    seconds_cell(measurement),
                    spread_cell(measurement),
                    Cell(
                        figures.significant(per_minute.get(sampler)),
                        "predicted" if measurement.status == "predicted" else "",
                    ),
                    *cells(
                        figures.size(measurement.peak_rss_bytes),
                        figures.size(measurement.peak_gpu_bytes),
                    ),
                ]
            )
            if measurement.status != "measured" and measurement.reason:
                notes.append(f"{row.name}, {sampler}, {measurement.status}: {measurement.reason}")
    heads = (
        "configuration",
        "sampler",
        "steps",
        "one run",
        "spread",
        "pictures a minute",
        "peak memory",
        "GPU memory",
    )
    return without_empty(Sheet("Whole pictures", heads, lines, notes, words=frozenset({0, 1})))


def stage_sheet(report: Report, row: Row) -> Sheet:
    """What each network takes, and how near it comes to the machine's own limit."""
    derived = derived_of(report, row)
    shares: dict[str, float] = derived.get("shares", {})
    roofline = {point["what"]: point for point in derived.get("roofline", ())}
    lines, notes = [], []
    for name, m in row.measurements.items():
        if name.startswith((PICTURE, COLD, WARM)):
            continue
        point = roofline.get(name, {})
        rate = m.macs_per_second
        lines.append(
            [
                Cell(stage_name(name)),
                seconds_cell(m),
                spread_cell(m),
                *cells(
                    figures.percent(shares.get(name)),
                    figures.macs(m.macs),
                    figures.significant(None if rate is None else rate / 1e9),
                    figures.percent(point.get("fraction")),
                    figures.size(m.peak_rss_bytes),
                    figures.size(m.peak_gpu_bytes),
                ),
            ]
        )
        if m.status != "measured" and m.reason:
            notes.append(f"{stage_name(name)}, {m.status}: {m.reason}")
    samplers = list(derived.get("shares_by_sampler", ()))
    if len(samplers) > 1:
        notes.append(f"Shares are those of a picture with {samplers[0]}.")
    if "other" in shares:
        lines.append(
            cells(NAMES["other"], *[figures.NONE] * 2, figures.percent(shares["other"]), *[figures.NONE] * 5)
        )
    heads = (
        "stage",
        "one call",
        "spread",
        "of a picture",
        "work",
        "GMAC/s",
        "of the limit",
        "peak memory",
        "GPU memory",
    )
    return without_empty(Sheet(f"Stages: {row.name}", heads, lines, notes))


def _load_sheet(row: Row) -> Sheet:
    names = dict.fromkeys(n.partition(".")[2] for n in row.measurements if n.startswith((COLD, WARM)))
    lines = []
    for name in names:
        cold, warm = row.measurements.get(COLD + name), row.measurements.get(WARM + name)
        lines.append([Cell(NETWORKS.get(name, name)), seconds_cell(cold), seconds_cell(warm)])
    notes = [
        f"{name}, {m.status}: {m.reason}"
        for name, m in row.measurements.items()
        if name.startswith((COLD, WARM)) and m.status != "measured" and m.reason
    ]
    heads = ("network", "cold file cache", "warm file cache")
    return Sheet(f"Loading: {row.name}", heads, lines, notes)


def ceiling_sheet(ceilings: dict[str, Any]) -> Sheet:
    """The machine's own limits, measured in the same run."""
    lines = [
        cells(name, figures.rate(limit.get("macs_per_s")), figures.bandwidth(limit.get("bytes_per_s")))
        for name, limit in ceilings.items()
    ]
    heads = ("provider, type", "multiplication", "memory")
    return Sheet("The machine's own limits, measured in the same run through ONNX Runtime", heads, lines)


def _pictures(row: Row) -> dict[str, Any]:
    return {n.removeprefix(PICTURE): m for n, m in row.measurements.items() if n.startswith(PICTURE)}


def found(report: Report) -> Iterator[str]:
    """What was found, a few sentences for each configuration."""
    for row in report.rows:
        derived = derived_of(report, row)
        said = []
        measured = {point["what"] for point in derived.get("roofline", ())}
        pictures = [(m.seconds, s, m.status) for s, m in _pictures(row).items() if m.seconds is not None]
        sampler = None
        if pictures:
            seconds, sampler, status = min(pictures)
            steps, batch = row.configuration.get("steps"), row.configuration.get("batch", 1)
            what = "a picture" if batch == 1 else f"a batch of {batch}"
            minute = figures.significant(derived.get("pictures_per_minute", {}).get(sampler))
            predicted = " (predicted from its stages)" if status == "predicted" else ""
            said.append(
                f"{what} takes {figures.seconds(seconds)} with {sampler} in {steps} steps, {minute} pictures a minute"
                f"{predicted}."
            )
        shares: dict[str, float] = derived.get("shares_by_sampler", {}).get(sampler, {})
        if shares:
            largest = max(shares, key=lambda name: shares[name])
            where = {
                "unet": "the UNet",
                "unet_guided": "the UNet",
                "other": "what is none of the networks",
            }.get(largest, stage_name(largest))
            said.append(f"{figures.percent(shares[largest])} of that goes to {where}.")
        for point in derived.get("roofline", ()):
            if point["what"] == "unet_guided" or (point["what"] == "unet" and "unet_guided" not in measured):
                share = figures.percent(point["fraction"])
                said.append(
                    f"The UNet reaches {figures.rate(point['macs_per_s'])}, {share} of the machine's own limit."
                )
        failed = [stage_name(n) for n, m in row.measurements.items() if m.status == "failed"]
        if failed:
            said.append(f"{'N' if said else 'n'}ot run to the end: {', '.join(failed)}.")
        if said:
            yield f"{row.name}: {' '.join(said)}"
