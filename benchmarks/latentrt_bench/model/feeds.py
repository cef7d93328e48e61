"""What the runtime feeds a UNet in a step of a run, without computing the text: its own code, over text encoders that
answer at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from latentrt.engine.networks import Networks
from latentrt.engine.runner import Runner
from latentrt.models.component import Component
from latentrt.networks import Variant
from latentrt.painting.conditions import condition, repeated
from latentrt.painting.denoiser import Denoiser
from latentrt.painting.request import Request
from latentrt.pipeline import Pipeline
from latentrt.text.encoder import TextEncoder

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Answering:
    """Stands for the runner of a text encoder: random numbers of the shapes that its graph gives."""

    component: Component

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        batch, sequence = feeds["input_ids"].shape
        sizes = {"batch": batch, "sequence": sequence}
        given = self.component.graph(Variant()).outputs
        return {
            name: _normal(tuple(int(sizes.get(str(side), side)) for side in given[name].shape))
            for name in outputs
        }

    def close(self) -> None:
        pass


def unet_feeds(pipeline: Pipeline, request: Request, batch: int) -> dict[str, Array]:
    """By the UNet's ports, what a batch of so many pictures has it asked in the first evaluation of a run."""
    model = pipeline.model
    networks = Networks(model, pipeline.networks.placement)
    for name in model.text_encoders:
        networks.runners[name] = cast(Runner, _Answering(model.components[name]))
    negative, prompt = condition(TextEncoder(networks), request)
    asked: dict[str, Array] = {}

    def unet(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        asked.update(feeds)
        return {
            "out_sample": np.zeros(
                (len(feeds["sample"]), model.latent_channels, *request.latent_size), np.float32
            )
        }

    behind = model.unet_channels - model.latent_channels
    denoiser = Denoiser(
        unet,
        repeated(prompt, batch),
        None if negative is None else repeated(negative, batch),
        request.guidance,
        request.sampler.prediction,
        _normal((batch, behind, *request.latent_size)) if behind else None,
        request.guidance_width,
    )
    first = next(iter(request.schedule))
    denoiser(_normal((batch, model.latent_channels, *request.latent_size)), first)
    return asked


def _normal(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
