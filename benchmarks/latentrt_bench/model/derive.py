"""What follows from the rows of `bench model`: shares of a picture, pictures a minute, nearness to the limits."""

from typing import Any

from latentrt_bench.limits.roofline import least_seconds
from latentrt_bench.report import Measurement, Report, Row

PICTURE, COLD, WARM = "picture:", "load_cold.", "load_warm."  # how measurements' names begin
STAGES = ("text_encoder", "text_encoder_2", "unet", "unet_guided", "vae_encoder", "vae_decoder")


def derive(report: Report) -> dict[str, Any]:
    """By row: `shares`, `pictures_per_minute` and `roofline`."""
    ceilings = {} if report.ceilings is None else report.ceilings
    return {"rows": [derive_row(row, ceilings) for row in report.rows]}


def derive_row(row: Row, ceilings: dict[str, Any]) -> dict[str, Any]:
    """`shares` are those of the first sampler; `shares_by_sampler` has all."""
    pictures = {n.removeprefix(PICTURE): m for n, m in row.measurements.items() if n.startswith(PICTURE)}
    by_sampler = {sampler: found for sampler, m in pictures.items() if (found := shares(row, sampler, m))}
    return {
        "name": row.name,
        "shares": next(iter(by_sampler.values()), {}),
        "shares_by_sampler": by_sampler,
        "pictures_per_minute": {
            sampler: 60 * row.configuration["batch"] / m.seconds
            for sampler, m in pictures.items()
            if m.seconds
        },
        "roofline": [
            point for name in STAGES if (point := _point(row, name, row.measurements.get(name), ceilings))
        ],
    }


def shares(row: Row, sampler: str, picture: Measurement) -> dict[str, float]:
    """The share of each stage in a picture; they add up to 1.

    By the picture's own clock, stage for stage, where it was measured; "other" is what is in none: noise, solver. Else
    from the stages' seconds. The UNet is "unet_guided" where every evaluation is guided.
    """
    unet = _unet_name(row)
    if picture.status == "measured":
        calls: list[dict[str, float]] = row.facts.get("picture_stages", {}).get(sampler, [])
        whole = sum(sum(round_) for round_ in picture.rounds)
        names = [name for name in (calls[0] if calls else {}) if name != "total"]
        spent = {name: sum(call[name] for call in calls) for name in names}
        if not whole or not spent:
            return {}
        parts = {unet if name == "unet" else name: seconds / whole for name, seconds in spent.items()}
        return {name: share for name, share in parts.items() if share > 0} | {
            "other": 1 - sum(parts.values())
        }
    parts_s = picture_parts(row, sampler)
    if parts_s is None or picture.status == "failed":
        return {}
    return {name: seconds / sum(parts_s.values()) for name, seconds in parts_s.items()}


def picture_parts(row: Row, sampler: str) -> dict[str, float] | None:
    """Seconds of each stage of one batch of pictures, from the stages' own; None where one of them is not known.

    With `low_memory` each batch loads its networks, which `facts["load_s"]` tells.
    """
    parts: dict[str, float] = {}
    for name, times in picture_calls(row, sampler).items():
        measurement = row.measurements.get(name)
        seconds = None if measurement is None or measurement.status != "measured" else measurement.seconds
        if seconds is None:
            return None
        parts[name] = times * seconds
    if row.configuration.get("low_memory"):
        seconds = row.facts.get("load_s")
        return None if seconds is None else {"load": seconds, **parts}
    return parts


def picture_calls(row: Row, sampler: str) -> dict[str, float]:
    """How often each stage is called for one batch of pictures, beside loading.

    A part of a call is of the encoder, which takes one or two pictures for a batch.
    """
    evaluations = row.facts["evaluations"].get(sampler, 0)
    encoded = {"vae_encoder": times} if (times := row.facts.get("encodes", 0)) else {}
    texts = dict.fromkeys(row.facts.get("text_encoders", ["text_encoder"]), 1)
    return {**texts, **encoded, _unet_name(row): evaluations, "vae_decoder": 1}


def _unet_name(row: Row) -> str:
    """Reports of before there were models that are told the guidance scale do not say."""
    guided = row.configuration["guidance_scale"] > 1
    return str(row.facts.get("unet", "unet_guided" if guided else "unet"))


def _point(
    row: Row, name: str, measurement: Measurement | None, ceilings: dict[str, Any]
) -> dict[str, Any] | None:
    """One point of the roofline plot; None where rate, work or limits are not known."""
    ceiling = ceilings.get(f"{row.configuration['provider']} {row.facts['dtypes'].get(name)}")
    rate = None if measurement is None else measurement.macs_per_second
    if ceiling is None or measurement is None or rate is None or not measurement.macs:
        return None
    if not measurement.bytes_least:
        return None
    runs = row.facts["runs"].get(name, 1)
    limit = measurement.macs / least_seconds(measurement.macs, measurement.bytes_least, ceiling, runs)
    return {
        "what": name,
        "intensity": measurement.macs / measurement.bytes_least,
        "intensity_moved": measurement.macs / measurement.bytes_moved if measurement.bytes_moved else None,
        "macs_per_s": rate,
        "limit_macs_per_s": limit,
        "fraction": rate / limit,
    }
