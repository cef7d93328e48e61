"""Larger than the model was made for: a picture at its size, enlarged, then painted over.

What AUTOMATIC1111 calls hires fix, and as it does it: the second pass draws its noise afresh from the same seeds at the
larger size, and runs all the steps that are asked for, out of a schedule of steps / strength. Not the same: a decoded
and enlarged picture is encoded to the mean of the encoder's distribution, where AUTOMATIC1111 draws from it without a
seed; and sizes of other proportions are refused, where it cuts.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from latentrt.checks import count, number
from latentrt.errors import InputError
from latentrt.models.bundle import Model
from latentrt.painting.generation import Generation, GenerationStep, Result
from latentrt.painting.request import Request, make_request
from latentrt.painting.second_pass import Hires
from latentrt.painting.settings import Settings
from latentrt.painting.upscale import find_upscaler, interpolate
from latentrt.pictures import images

if TYPE_CHECKING:
    from latentrt.pipeline import Pipeline

Array = npt.NDArray[Any]

_MAX_STRENGTH = 0.999  # AUTOMATIC1111's, by which a strength of 1 still divides into a schedule


class HiresGeneration:
    """Both passes as one iterator of steps; used as a `Generation`."""

    def __init__(
        self, pipeline: "Pipeline", first: Request, second: Request, hires: Hires, steps: int
    ) -> None:
        self.request = second
        self._pipeline, self._hires, self._steps = pipeline, hires, steps
        self._first = Generation(pipeline, first)
        self._second: Generation | None = None
        self.total = self._first.total + len(second.schedule) * len(second.seeds.batches)
        self._timings: dict[str, float] = {}
        self._iterator = self._run()
        self._result: Result | None = None

    def __iter__(self) -> Iterator[GenerationStep]:
        return self

    def __next__(self) -> GenerationStep:
        return next(self._iterator)

    def close(self) -> None:
        """Give up: no further step is computed."""
        for part in (self._first, self._second):
            if part is not None:
                part.close()

    def result(self) -> Result:
        """Run the steps that are left, decode, and return the pictures; a second call returns the same.

        Raises:
            RuntimeError: it was given up, or failed before.
        """
        if self._result is None:
            for _ in self:
                pass
            if self._second is None:
                self._first.latents()  # says why
                raise RuntimeError("this generation failed between its passes; start another")
            second = self._second.result()
            timings = dict(self._timings)
            for part in (self._first.timings, second.timings):
                for stage, seconds in part.items():
                    if stage != "total":
                        timings[stage] = timings.get(stage, 0.0) + seconds
            timings["total"] = sum(timings.values())
            made = self._first.request.parameters(self._pipeline.model.name)
            extra = self._hires.metadata(self._steps)
            parameters = [replace(p, strength=self._hires.strength, extra=p.extra + extra) for p in made]
            self._result = replace(second, parameters=parameters, timings=timings)
        return self._result

    def _run(self) -> Iterator[GenerationStep]:
        for step in self._first:
            yield replace(step, total=self.total)
        done = self._first.total
        latents = self._first.latents()
        started = time.perf_counter()
        latents = self._enlarged(latents)
        self._timings["upscale"] = time.perf_counter() - started
        self._second = Generation(self._pipeline, replace(self.request, latents=latents))
        for step in self._second:
            yield replace(step, index=done + step.index, total=self.total)

    def _enlarged(self, latents: Array) -> Array:
        upscaler, pipeline = find_upscaler(self._hires.upscaler), self._pipeline
        if upscaler.latent:
            return interpolate(latents, self.request.latent_size, upscaler.mode, upscaler.antialias)
        from PIL.Image import Resampling

        size = (self.request.width, self.request.height)
        pictures = [image.resize(size, Resampling[upscaler.mode]) for image in pipeline.decode(latents)]
        with pipeline.stage("vae_encoder"):
            means = [pipeline.autoencoder.encode(images.to_array(picture))[0] for picture in pictures]
        return pipeline.autoencoder.scaled(np.concatenate(means))


def start_hires(
    pipeline: "Pipeline", prompt: str, hires: Hires, **settings: Unpack[Settings]
) -> HiresGeneration:
    """Check both passes, and prepare them; nothing is computed yet.

    Raises:
        InputError: a value is out of range; the message names it.
    """
    first = make_request(pipeline.model, prompt, **settings)
    model: Model = pipeline.model
    find_upscaler(hires.upscaler)
    strength = number("hires strength", hires.strength)
    if not 0 < strength <= 1:
        raise InputError(f"hires strength: expected more than 0 and at most 1, got {hires.strength}")
    steps = first.num_inference_steps if hires.steps is None else count("hires steps", hires.steps)
    width, height = hires.target(first.width, first.height, model.vae_scale_factor)
    total = int(steps / min(strength, _MAX_STRENGTH))
    # Half a step more than is wanted, so that rounding keeps exactly `steps` of `total`.
    kept = min((steps + 0.5) / total, 1.0)
    larger: Settings = {**settings, "width": width, "height": height, "num_inference_steps": total}
    second = make_request(model, prompt, strength=kept, **larger)
    return HiresGeneration(pipeline, first, replace(second, seeds=first.seeds), hires, steps)
