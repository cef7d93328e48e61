"""latentrt itself, in an environment of its own like all others; see `run_diffusers`."""

import time
from typing import Any

import latentrt


class Latentrt:
    """`latentrt.load` on ONNX Runtime's CPU provider, in float32.

    Its interface takes a seed, from which it draws what torch draws: the latents that the others are handed.

    Args:
        model: the checkpoint's folder.
        work: see `run_diffusers.Diffusers`; also seed.
    """

    def __init__(self, model: str, work: dict[str, Any]) -> None:
        self.work = work
        self.pipeline = latentrt.load(model, device="cpu", dtype="fp32")

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
        )
        ends = [time.perf_counter() for _ in generation]
        self.picture = generation.result().images[0]
        return ends

    def save(self) -> None:
        """Write the picture."""
        self.picture.convert("RGB").save(self.work["picture"])
