"""The stages of a picture, each as a contender that a worker process loads and calls; and the work that each one is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latentrt.engine.networks import Networks, place
from latentrt.models.model import Model
from latentrt.painting.autoencoder import Autoencoder
from latentrt.painting.tiling import Grid
from latentrt.pipeline import Pipeline
from latentrt.text.conditioning import told_by
from latentrt_bench.measuring import file_cache
from latentrt_bench.measuring.rounds import WARMUPS
from latentrt_bench.model.configuration import PROMPT, Configuration, painting, request_of
from latentrt_bench.model.feeds import unet_feeds

GUIDED = 7.5  # a guidance scale for the guided step where pictures have none


@dataclass(frozen=True)
class Work:
    """What one call of a stage has a network compute: `times` runs with inputs of these shapes."""

    component: str
    shapes: Mapping[str, tuple[int, ...]]
    times: int = 1


def work(pipeline: Pipeline, c: Configuration) -> dict[str, Work]:
    """The work of each stage that this model has, by its name; nothing is loaded for it."""
    model = pipeline.model
    prompts = len(
        request_of(model, c).texts(len(model.text_encoders))
    )  # of all pictures of a batch, one by one
    stages = {
        name: Work(name, {"input_ids": (1, tokenizer.max_length)}, prompts)
        for name, tokenizer in zip(model.text_encoders, pipeline.text.tokenizers, strict=True)
    }
    stages["unet"] = _unet_work(pipeline, c, "unet")
    if is_guidable(model):
        stages["unet_guided"] = _unet_work(pipeline, c, "unet_guided")
    if "vae_encoder" in model.components:
        channels = model.components["vae_encoder"].options.number("in_channels", 3)
        stages["vae_encoder"] = _vae_work(
            pipeline, c, "vae_encoder", "sample", channels, model.vae_scale_factor
        )
    stages["vae_decoder"] = _vae_work(pipeline, c, "vae_decoder", "latent_sample", model.latent_channels, 1)
    return stages


def is_guidable(model: Model) -> bool:
    """Whether its UNet is asked of the negative prompt too: not where it is told the guidance scale."""
    return not model.guidance_width


def unet_stage(model: Model, c: Configuration) -> str:
    """The stage that an evaluation of a picture is."""
    return "unet_guided" if c.guidance_scale > 1 and is_guidable(model) else "unet"


def _unet_work(pipeline: Pipeline, c: Configuration, stage: str) -> Work:
    return Work("unet", {name: value.shape for name, value in _unet_feeds(pipeline, c, stage).items()})


def _unet_feeds(pipeline: Pipeline, c: Configuration, stage: str) -> dict[str, Any]:
    """What the UNet is fed in a stage, as the runtime feeds it."""
    model, scale = pipeline.model, c.guidance_scale
    if stage == "unet_guided" and scale <= 1:
        scale = GUIDED
    elif stage == "unet" and is_guidable(model):
        scale = 1.0
    return unet_feeds(pipeline, request_of(model, replace(c, guidance_scale=scale)), c.batch)


def _vae_work(
    pipeline: Pipeline, c: Configuration, component: str, input_name: str, channels: int, unit: int
) -> Work:
    """One picture at a time; `unit`: samples of the input per latent. In tiles, both passes are counted as whole."""
    factor = pipeline.model.vae_scale_factor
    latent = (c.height // factor, c.width // factor)
    times = c.batch
    tiling = pipeline.autoencoder.tiling(c.height, c.width)
    if tiling is not None:
        grid = Grid(*latent, tiling)
        latent, times = grid.tile, times * len(grid.corners) * 2
    return Work(component, {input_name: (1, channels, latent[0] * unit, latent[1] * unit)}, times)


class Stage:
    """One stage of a picture, loaded. `run` calls it once."""

    def __init__(self, stage: str, configuration: dict[str, Any]) -> None:
        c = Configuration(**configuration)
        pipeline = c.load()
        self._call = STAGES[stage](pipeline, c, work(pipeline, c)[stage])

    def run(self) -> None:
        """Call the stage once."""
        self._call()


def _text_encoder(pipeline: Pipeline, c: Configuration, work: Work) -> Callable[[], Any]:
    index = pipeline.model.text_encoders.index(work.component)

    def call() -> None:
        for _ in range(work.times):
            ids = pipeline.text.tokenizers[index].encode(PROMPT).ids[None]
            told_by(pipeline.model, pipeline.runners[work.component], ids)

    return call


def _unet(stage: str) -> Callable[[Pipeline, Configuration, Work], Callable[[], Any]]:
    def make(pipeline: Pipeline, c: Configuration, work: Work) -> Callable[[], Any]:
        feeds = _unet_feeds(pipeline, c, stage)
        session = pipeline.runners["unet"].session(work.shapes)
        return lambda: session.run(feeds)

    return make


def _vae_encoder(pipeline: Pipeline, c: Configuration, work: Work) -> Callable[[], Any]:
    pixels = np.clip(_normal((c.batch, 3, c.height, c.width)), -1, 1)
    autoencoder = _kept(pipeline)
    return lambda: autoencoder.encode(pixels)


def _vae_decoder(pipeline: Pipeline, c: Configuration, work: Work) -> Callable[[], Any]:
    factor = pipeline.model.vae_scale_factor
    shape = (c.batch, pipeline.model.latent_channels, c.height // factor, c.width // factor)
    latents = _normal(shape)
    autoencoder = _kept(pipeline)
    return lambda: autoencoder.decode(latents)


def _kept(pipeline: Pipeline) -> Autoencoder:
    """The autoencoder over the same runners, which stay loaded between calls: loading is measured by itself."""
    networks = Networks(pipeline.model, replace(pipeline.networks.placement, low_memory=False))
    networks.runners.update(pipeline.runners)
    return Autoencoder(networks, pipeline.autoencoder.tile)


def _normal(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# Stage -> makes what is called, with everything that it needs there already.
STAGES: dict[str, Callable[[Pipeline, Configuration, Work], Callable[[], Any]]] = {
    "text_encoder": _text_encoder,
    "text_encoder_2": _text_encoder,
    "unet": _unet("unet"),
    "unet_guided": _unet("unet_guided"),
    "vae_encoder": _vae_encoder,
    "vae_decoder": _vae_decoder,
}


class Picture:
    """Whole pictures, from words to pixels. Making it loads all networks and warms them up: two steps, two decodes."""

    def __init__(self, sampler: str | None, configuration: dict[str, Any]) -> None:
        self._c = Configuration(**configuration)
        self._sampler = sampler
        self._pipeline = self._c.load()
        for _ in range(WARMUPS):
            begun = painting(self._pipeline, self._c, sampler)
            next(begun)
            begun.close()
            STAGES["vae_decoder"](self._pipeline, self._c, work(self._pipeline, self._c)["vae_decoder"])()

    def run(self) -> dict[str, float]:
        """Paint one batch; returns the seconds of its stages, by name, as `latentrt.Result.timings`."""
        self._pipeline.text.forget()  # what it kept of the last batch's prompts
        timings: dict[str, float] = painting(self._pipeline, self._c, self._sampler).result().timings
        return timings


class Load:
    """One network, from its files to a session that is ready to run; a process does this once.

    What comes before any network is not counted: the start of Python, of ONNX Runtime, and of the provider.
    """

    def __init__(self, stage: str, configuration: dict[str, Any]) -> None:
        self._c = Configuration(**configuration)
        pipeline = self._c.load()
        self._work = work(pipeline, self._c)[stage]
        runner = pipeline.runners[self._work.component]
        component = runner.component
        tensors = [
            component.weights.find(p.name, p.shape) for p in component.graph(runner.variant()).parameters
        ]
        found = [tensor for tensor in tensors if tensor is not None]
        self._needed = sum(tensor.end - tensor.start for tensor in found)
        # Where one file holds all networks, this one's part of it is what is to be there, or not.
        self._spans = {
            file: file_cache.joined((t.start, t.end) for t in found if t.file == file)
            for file in component.weights.files
        }
        self._cached: float | None = None
        self._read: int | None = None

    def empty_cache(self) -> None:
        """Have the system forget the files."""
        for file in self._spans:
            file_cache.empty(file.resolve())
        self._remember()

    def fill_cache(self) -> None:
        """Have the system hold the files."""
        for file, spans in self._spans.items():
            file_cache.fill(file, spans)
        self._remember()

    def load(self) -> None:
        """Open the model and make the session."""
        c = self._c
        component = c.open().components[self._work.component]
        self._runner = place(c.device, c.dtype, c.low_memory).runner(component)
        self._runner.session(self._work.shapes)

    def proof(self) -> dict[str, Any]:
        """What the cache held before loading, and what came from the disk: see `file_cache.Proof`."""
        read = file_cache.read_from_disk()
        from_disk = None if read is None or self._read is None else read - self._read
        return {"cached_share": self._cached, "from_disk_bytes": from_disk, "needed_bytes": self._needed}

    def _remember(self) -> None:
        shares = [file_cache.cached_share(file, spans) for file, spans in self._spans.items()]
        known = [share for share in shares if share is not None]
        self._cached = max(known) if len(known) == len(shares) else None
        self._read = file_cache.read_from_disk()
