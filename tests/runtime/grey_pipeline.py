"""A stand-in for the pipeline: it checks what it is asked as the real one does, and paints grey."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from latentrt.networks import Options
from latentrt.painting.generation import Result
from latentrt.painting.parameters import parameters_of
from latentrt.painting.request import Request
from latentrt.painting.request_maker import make_request

MODEL = SimpleNamespace(
    name="demo",
    scheduler_where="demo/scheduler/scheduler_config.json",
    entries=(),
    fixed_side=lambda name: None,
    skips_layers=True,
    vae_scale_factor=8,
    default_side=lambda name: 16,
    text_layers=3,
    unet_channels=4,
    latent_channels=4,
    components={"unet": SimpleNamespace(options=Options("unet", {}))},
    defaults={},
    text_encoders=("text_encoder",),
    num_time_ids=0,
    guidance_width=0,
    purpose="paint",
    edited_scale=None,
    zeroes_empty_negative=False,
    is_xl=False,
    scheduler_config={"_class_name": "DDIMScheduler"},
)


@dataclass
class Asked:
    """What was asked of the pipeline: the calls in order, and the settings of the last run."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [call[-1] for call in self.calls if call[0] in ("txt2img", "img2img", "inpaint")]

    @property
    def settings(self) -> dict[str, Any]:
        return self.runs[-1]


class GreyGeneration:
    total = 3

    def __init__(self, request: Request) -> None:
        self.request = request

    def __iter__(self) -> Iterator[Any]:
        return iter(
            [SimpleNamespace(index=index, total=self.total, seconds=0.5) for index in range(self.total)]
        )

    def result(self) -> Result:
        parameters = parameters_of(self.request, MODEL)
        images = [Image.new("RGB", self.request.output_size, "grey") for _ in parameters]
        seeds = [seed for batch in self.request.seeds.batches for seed in batch.seeds]
        return Result(images, np.zeros((len(images), 4, 1, 1)), seeds, parameters, {"unet": 0.5})


class GreyPipeline:
    def __init__(self, asked: Asked) -> None:
        self.calls = asked.calls
        self.provider = SimpleNamespace(name="cpu")
        self.dtype = "fp32"
        self.widened = ()
        self.model = MODEL
        self.autoencoder = SimpleNamespace(tiling=lambda height, width: None)

    def __enter__(self) -> "GreyPipeline":
        return self

    def __exit__(self, *exception: object) -> None:
        self.calls.append(("close",))

    def start_txt2img(self, prompt: str, *, hires: Any = None, **settings: Any) -> GreyGeneration:
        self.calls.append(("txt2img", prompt, hires, settings))
        return GreyGeneration(make_request(MODEL, "txt2img", prompt, **settings))

    def start_img2img(self, prompt: str, image: Image.Image, **settings: Any) -> GreyGeneration:
        self.calls.append(("img2img", prompt, image.size, settings))
        return GreyGeneration(make_request(MODEL, "img2img", prompt, image, **settings))

    def start_inpaint(
        self, prompt: str, image: Image.Image, mask: Image.Image, **settings: Any
    ) -> GreyGeneration:
        self.calls.append(("inpaint", prompt, image.size, settings))
        return GreyGeneration(make_request(MODEL, "inpaint", prompt, image, mask, **settings))

    def encode(self, image: Image.Image, *, seed: int | None) -> np.ndarray:
        self.calls.append(("encode", image.size, seed))
        return np.full((1, 4, image.height // 8, image.width // 8), 0.5, np.float32)

    def decode(self, latents: np.ndarray) -> list[Image.Image]:
        self.calls.append(("decode", latents.shape))
        return [Image.new("RGB", (8, 8)) for _ in latents]
