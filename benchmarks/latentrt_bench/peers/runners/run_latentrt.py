"""latentrt itself, in an environment of its own like all others; see `run_diffusers`."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentrt.engine.networks import place
from latentrt.models.bundle import open_model
from latentrt.pipeline import Pipeline


class Latentrt:
    """What `latentrt.load` gives on ONNX Runtime's CPU provider. A file gets the scheduler that all have.

    Its interface takes a seed, from which it draws what torch draws: the latents that the others are handed.

    Args:
        model: the checkpoint's folder or file.
        work: see `run_diffusers.Diffusers`; also seed.
        fast: a recipe, which saves evaluations and paints another picture.
        dtype: "fp32", or "int8", which paints another picture too.
    """

    def __init__(self, model: str, work: dict[str, Any], fast: str = "off", dtype: str = "fp32") -> None:
        self.work, self.fast = work, fast
        opened = open_model(model)
        if opened.root.is_file():
            scheduler = Path(work["descriptions"], "scheduler", "scheduler_config.json").read_text(
                encoding="utf-8"
            )
            opened = replace(opened, scheduler_config=json.loads(scheduler), defaults={})
        self.pipeline = Pipeline(opened, place("cpu", dtype))

    def paint(self) -> list[float]:
        """One picture; when each step ended, by the process's clock."""
        work = self.work
        self.pipeline.text.forget()  # the others encode the prompt each time
        generation = self.pipeline.start_txt2img(
            work["prompt"],
            seed=work["seed"],
            num_inference_steps=work["steps"],
            guidance_scale=work["guidance"],
            width=work["width"],
            height=work["height"],
            fast=self.fast,
        )
        ends = [time.perf_counter() for _ in generation]
        self.picture = generation.result().images[0]
        return ends

    def save(self) -> None:
        """Write the picture."""
        self.picture.convert("RGB").save(self.work["picture"])
