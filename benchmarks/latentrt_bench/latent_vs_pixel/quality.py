"""What compression costs in quality: pictures through the included model's autoencoder, f = 8, and back."""

import importlib.resources
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

import latentrt
from latentrt.pictures import images
from latentrt_bench.measuring.process import Job, Process, WorkerError
from latentrt_bench.report import Report

SHEET = "scenes.png"  # of `tools/make_scenes.py`: scenes that the model has not seen in training
MODEL = "demo"
SIDE = 128  # pixels of one scene, and what the model was made for
BATCH = 8


class RoundTrip:
    """A worker's contender: encode and decode every picture of the sheet."""

    def __init__(self) -> None:
        self.pipeline = latentrt.load(MODEL, device="cpu")

    def run(self) -> dict[str, Any]:
        """Mean and standard deviation of the pictures' PSNR, in dB, as the paper's table 8 states it."""
        pictures = scenes()
        values = []
        for start in range(0, len(pictures), BATCH):
            before = pictures[start : start + BATCH]
            pixels = np.concatenate([images.to_array(Image.fromarray(picture)) for picture in before])
            mean, std = self.pipeline.autoencoder.encode(pixels)
            latents = self.pipeline.autoencoder.scaled(mean, std)
            after = images.to_images(self.pipeline.autoencoder.decode(latents))
            values += [psnr(a, np.asarray(b)) for a, b in zip(before, after, strict=True)]
        return {
            "model": MODEL,
            "f": self.pipeline.model.vae_scale_factor,
            "psnr_db": float(np.mean(values)),
            "psnr_std_db": float(np.std(values)),
            "pictures": len(pictures),
        }


def scenes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The sheet's pictures, (n, 128, 128, 3) uint8."""
    with (
        (importlib.resources.files("latentrt_bench.latent_vs_pixel") / SHEET).open("rb") as file,
        Image.open(file) as sheet,
    ):
        grid = np.asarray(sheet.convert("RGB"))
    rows, columns = grid.shape[0] // SIDE, grid.shape[1] // SIDE
    return grid.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(rows * columns, SIDE, SIDE, 3)


def psnr(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, in dB; infinite where they are equal."""
    error = np.mean((before.astype(np.float64) - after.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def add_quality(report: Report, tell: Callable[[str], None]) -> None:
    """Measure it, in a process of its own, and put it into the report."""
    tell("the included autoencoder's quality")
    try:
        process = Process(Job("latentrt_bench.latent_vs_pixel.quality:RoundTrip"))
    except WorkerError as error:
        report.warnings.append(f"quality: {error}")
        return
    try:
        report.derived["quality"] = {"measured": process.call("run").result}
    except WorkerError as error:
        report.warnings.append(f"quality: {error}")
    finally:
        process.close()
