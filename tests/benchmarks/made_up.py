"""Reports with made-up numbers, complete enough for every table, plot and page; nothing here was measured."""

import copy
from typing import Any

from latentrt_bench.latent_vs_pixel.derive import derive
from latentrt_bench.model.derive import derive as model_derive
from latentrt_bench.report import Measurement, Report, Row

# f, latent (c, h at 256), GMAC of a step at 256 and 512, of a decode, made-up seconds of a step and a decode at 256
MODELS = (
    (1, (3, 256), (566, 2320), 0, 6.9, 0.0),
    (2, (2, 128), (242, 970), 347, 2.8, 4.9),
    (4, (3, 64), (101, 467), 335, 1.3, 3.3),
    (8, (4, 32), (40, 160), 311, 0.52, 3.0),
    (16, (8, 16), (9.4, 38), 125, 0.15, 1.2),
    (32, (32, 8), (2.3, 9.2), 124, 0.064, 1.2),
)
COMMON: dict[str, Any] = {
    "started": "2026-01-02T03:04:05Z",
    "machine": {
        "processor": "Made-up Processor 9000",
        "architecture": "x86_64",
        "physical_cores": 1,
        "logical_cores": 2,
        "features": ["avx2", "fma"],
        "virtual": True,
        "memory_bytes": 25_200_000_000,
        "gpus": [],
        "system": "Linux-6.1-made-up",
        "energy_sources": [],
    },
    "versions": {"python": "3.11.2", "latentrt": "0.0.0", "numpy": "2.4.0", "onnxruntime": "1.23.2"},
    "conditions": {
        "on_battery": False,
        "throttled": None,
        "steal": 0.03,
        "others": 0.01,
        "clock_jump_s": 0.0,
    },
    "ceilings": {
        "cpu float32": {
            "macs_per_s": 95e9,
            "bytes_per_s": 14e9,
            "cache_bytes": 33_000_000,
            "detail": {"matmul 2048": [95e9, 94e9]},
        },
    },
    "warnings": ["the hypervisor gave 3% of the processor time to other machines"],
    "complete": True,
    "seconds": 1234.5,
}


def measured(seconds: float, gmac: float | None = None, spread: float = 0.03, **others: Any) -> Measurement:
    """Three rounds around a median, that far apart."""
    rounds = [[seconds * (1 - spread / 2)], [seconds], [seconds * (1 + spread / 2)]]
    macs = None if gmac is None else int(gmac * 1e9)
    moved = None if macs is None else macs // 40
    least = None if macs is None else macs // 120
    return Measurement(
        rounds=rounds, warmup=[seconds * 1.4], macs=macs, bytes_moved=moved, bytes_least=least, **others
    )


def latent_vs_pixel() -> Report:
    """Six models at two sizes; at 512, LDM-1 is predicted, LDM-32 noisy, LDM-16's decode failed."""
    rows = []
    for at, side in enumerate((256, 512)):
        for f, (c, h), step_gmac, decode_gmac, step, decode in MODELS:
            scale = 4.2**at
            gmac = step_gmac[at]
            measurements = {"step": measured(step * scale, gmac, peak_rss_bytes=int(4e9 * scale / f + 1.1e9))}
            if (f, side) == (1, 512):
                measurements["step"] = Measurement(
                    "predicted", macs=int(gmac * 1e9), predicted_s=28.3, peak_rss_bytes=None,
                    reason="its work at the rate of LDM-1 256x256; 61 GB do not fit into 25 GB",
                )  # fmt: skip
            if (f, side) == (32, 512):
                measurements["step"] = measured(step * scale, gmac, spread=0.31, peak_rss_bytes=int(1.4e9))
            if f > 1:
                measurements["decode"] = measured(
                    decode * scale, decode_gmac * 4**at, peak_rss_bytes=int(9e8 * scale)
                )
                measurements["encode"] = measured(decode * scale / 2, decode_gmac * 4**at / 2)
            if (f, side) == (16, 512):
                measurements["decode"] = Measurement(
                    "failed", reason="the process was killed (signal 9): out of memory"
                )
            rows.append(
                Row(
                    f"LDM-{f} {side}x{side}",
                    {
                        "model": f"LDM-{f}",
                        "f": f,
                        "width": side,
                        "height": side,
                        "batch": 1,
                        "provider": "cpu",
                        "dtype": "float32",
                    },
                    measurements,
                    {
                        "parameters": 274_056_163 - 1000 * f,
                        "latent": [c, h * 2**at, h * 2**at],
                        "decoder_parameters": 49_000_000,
                        "unet_weight_bytes": 548_000_000,
                        **{f"{part}_activation_bytes": 61 * 10**9 for part in ("unet", "decoder", "encoder")},
                    },
                )
            )
    for on, side, sd_step in (
        ("latents", 64, measured(5.1, 402, peak_rss_bytes=int(6.1e9))),
        ("pixels", 512, Measurement("predicted", macs=1_900_000_000_000_000, predicted_s=23456.0,
                                    reason="attention over 262,144 tokens at the rate of its step on latents")),
    ):  # fmt: skip
        name = "Stable Diffusion 1.5's UNet"
        configuration = {"model": name, "on": on, "width": side, "height": side, "batch": 1}
        facts = {
            "parameters": 859_520_964,
            "unet_weight_bytes": 1_719_041_928,
            "unet_activation_bytes": 9 * 10**12,
        }
        rows.append(Row(f"{name} on the {on} of 512x512", configuration, {"step": sd_step}, facts))
    report = _report(
        "latent-vs-pixel", rows, {}, {"sizes": [[256, 256], [512, 512]], "batches": [1], "rounds": 3}
    )
    report.derived["quality"] = {"measured": {"f": 8, "psnr_db": 35.7, "pictures": 64, "model": "demo"}}
    report.derived = derive(report)
    return report


def model() -> Report:
    """Two sizes of a made-up checkpoint with two samplers, and a third size that failed."""
    rows: list[Row] = []
    for side, scale in ((256, 1.0), (512, 4.4), (1024, 30.0)):
        measurements = {
            "load_cold.unet": measured(11.2), "load_warm.unet": measured(5.1),
            "load_cold.vae_decoder": measured(1.3), "load_warm.vae_decoder": measured(0.4),
            "text_encoder": measured(0.16, 6.65),
            "unet": measured(1.4 * scale, 90.1 * scale, peak_rss_bytes=int(4.1e9 + 5e8 * scale)),
            "unet_guided": measured(2.7 * scale, 180.2 * scale, spread=0.14),
            "vae_encoder": measured(2.2 * scale, 139 * scale), "vae_decoder": measured(4.6 * scale, 311 * scale),
            "picture:DPM++ 2M": measured(59 * scale), "picture:Euler a": measured(60 * scale),
        }  # fmt: skip
        if side == 1024:
            for name in ("unet", "unet_guided", "vae_decoder", "picture:DPM++ 2M", "picture:Euler a"):
                measurements[name] = Measurement(
                    "failed", reason="the process was killed (signal 9): out of memory"
                )
        stages = {"text_encoder": 0.16, "unet": 54.0 * scale, "vae_decoder": 4.6 * scale}
        facts = {
            "dtypes": dict.fromkeys(measurements, "float32"), "runs": {},
            "evaluations": {"DPM++ 2M": 20, "Euler a": 20}, "picture_stages": {"DPM++ 2M": [stages] * 3},
        }  # fmt: skip
        name = f"{side}x{side} batch 1 cpu float32"
        rows.append(
            Row(name, {"width": side, "height": side, "batch": 1, "provider": "cpu", "dtype": "float32", "steps": 20,
                       "guidance_scale": 7.5}, measurements, facts)
        )  # fmt: skip
    report = _report("model", rows, {}, {"model": "made-up", "steps": 20})
    report.derived = model_derive(report)
    return report


def peers() -> Report:
    """Five peers, of which one would not install and one is noisy."""
    rows, derived = [], []
    made_up: tuple[tuple[Any, ...], ...] = (
        ("latentrt", 21.0, 14.0, 0.62, 3.9e9, 243e6, None),
        ("diffusers, torch fp32", 29.0, 19.0, 0.85, 5.6e9, 1.9e9, {"max": 1, "mean": 0.004, "psnr_db": 71.2}),
        ("diffusers, bf16 channels-last", 88.0, 71.0, 3.3, 4.2e9, 1.9e9, {"max": 31, "mean": 1.1, "psnr_db": 41.0}),
        ("OpenVINO GenAI", 44.0, 15.0, 0.66, 6.2e9, 320e6, {"max": 9, "mean": 0.3, "psnr_db": 52.3}),
    )  # fmt: skip
    for name, first, picture, step, memory, installed, difference in made_up:
        measurements = {
            "first_picture": measured(first),
            "picture": measured(picture, spread=0.22 if "bf16" in name else 0.02, peak_rss_bytes=int(memory)),
            "step": measured(step),
        }
        facts = {
            "environment": "an environment of its own", "installed_bytes": int(installed),
            "versions": {"python": "3.11.2", name.split(",")[0].lower(): "1.2.3"}, "picture": difference,
        }  # fmt: skip
        rows.append(Row(name, {"width": 512, "height": 512, "steps": 20}, measurements, facts))
        derived.append({"name": name, "picture_ratio": picture / 14, "step_ratio": step / 0.62,
                        "memory_ratio": memory / 3.9e9})  # fmt: skip
    reason = "pip install stable-diffusion-cpp-python: no compiler was found"
    failed = {"picture": Measurement("failed", reason=reason)}
    rows.append(
        Row("stable-diffusion.cpp", {"width": 512, "height": 512, "steps": 20}, failed, {"versions": {}})
    )
    derived.append(
        {"name": "stable-diffusion.cpp", "picture_ratio": None, "step_ratio": None, "memory_ratio": None}
    )
    return _report("peers", rows, {"against": "latentrt", "rows": derived}, {"model": "demo", "steps": 20})


def _report(benchmark: str, rows: list[Row], derived: dict[str, Any], settings: dict[str, Any]) -> Report:
    command = ["latentrt", "bench", benchmark, "--out", "made-up.json"]
    return Report(
        benchmark=benchmark,
        command=command,
        settings=settings,
        rows=rows,
        derived=derived,
        **copy.deepcopy(COMMON),
    )


REPORTS = {"latent-vs-pixel": latent_vs_pixel, "model": model, "peers": peers}
