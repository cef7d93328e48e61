"""What compression costs in quality: pictures through the included model's autoencoder, f = 8, and back."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

import latentrt
from latentrt.models.demo.drawing import render
from latentrt.models.demo.scenes import sample_any, sample_held_out
from latentrt.pictures import images
from latentrt_bench.measuring.process import Job, Process, WorkerError
from latentrt_bench.report import Report

MODEL = "demo"
SEED = 20260101  # no seed of the training's
PICTURES = 32
BATCH = 8


class RoundTrip:
    """A worker's contender: encode and decode every picture."""

    def __init__(self) -> None:
        self.pipeline = latentrt.load(MODEL, device="cpu")

    def run(self) -> dict[str, Any]:
        """Mean and standard deviation of the pictures' PSNR, in dB, as the paper's table 8 states it."""
        pictures = scenes()
        values = []
        for start in range(0, len(pictures), BATCH):
            before = pictures[start : start + BATCH]
            pixels = np.concatenate([images.to_array(Image.fromarray(picture)) for picture in before])
            autoencoder = self.pipeline.autoencoder
            mean, _ = autoencoder.encode(pixels)
            after = images.to_images(autoencoder.decode(autoencoder.scaled(mean)))
            values += [psnr(a, np.asarray(b)) for a, b in zip(before, after, strict=True)]
        return {
            "model": MODEL,
            "f": self.pipeline.model.vae_scale_factor,
            "psnr_db": float(np.mean(values)),
            "psnr_std_db": float(np.std(values)),
            "pictures": len(pictures),
        }


def scenes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pictures that the model has not seen in training, half of them of held-out kinds, (n, 128, 128, 3) uint8."""
    rng = np.random.default_rng(SEED)
    drawn = [sample_held_out(rng, new_pair=n % 4 == 1) if n % 2 else sample_any(rng) for n in range(PICTURES)]
    return np.stack([render(scene, rng) for scene in drawn])


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
