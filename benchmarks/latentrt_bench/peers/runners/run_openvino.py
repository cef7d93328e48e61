"""OpenVINO GenAI's `Text2ImagePipeline`. Runs under the Python of its own environment; see `run_diffusers`."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai


class Given(openvino_genai.Generator):
    """Hands the pipeline the initial latents in place of random numbers."""

    def __init__(self, latents: Any) -> None:
        super().__init__()
        self.latents = latents

    def randn_tensor(self, shape: Any) -> Any:
        """The latents, in the shape asked for."""
        return openvino.Tensor(self.latents.reshape(tuple(shape)).copy())


class OpenVINO:
    """`Text2ImagePipeline` on the CPU, its networks made for the size that is painted.

    Args:
        model: the folder of optimum-intel's export.
        work: see `run_diffusers.Diffusers`.
    """

    def __init__(self, model: str, work: dict[str, Any]) -> None:
        self.work = work
        self.latents = np.load(work["latents"])
        self.pipeline = openvino_genai.Text2ImagePipeline(model)
        self.pipeline.reshape(1, work["height"], work["width"], work["guidance"])
        self.pipeline.compile("CPU")

    def paint(self) -> list[float]:
        """One picture; when each step ended, by the process's clock."""
        ends: list[float] = []

        def tell(step: int, steps: int, latents: Any) -> bool:
            ends.append(time.perf_counter())
            return False

        work = self.work
        # Of SDXL, zeros stand for a negative prompt that is not given, in every peer.
        negative = {} if work["xl"] else {"negative_prompt": ""}
        pictures = self.pipeline.generate(
            work["prompt"],
            **negative,
            num_inference_steps=work["steps"],
            guidance_scale=work["guidance"],
            width=work["width"],
            height=work["height"],
            generator=Given(self.latents),
            callback=tell,
        )
        self.picture = pictures.data[0].copy()  # uint8 (h, w, 3); the tensor is theirs
        return ends

    def save(self) -> None:
        """Write the picture, as PPM: no library for pictures is installed here."""
        height, width, _ = self.picture.shape
        Path(self.work["picture"]).write_bytes(b"P6 %d %d 255\n" % (width, height) + self.picture.tobytes())
