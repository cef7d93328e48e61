"""The stages of a picture, each as a contender that a worker process loads and calls; and the work that each one is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import latentrt
from latentrt.engine.networks import Networks, place
from latentrt.models.bundle import open_model
from latentrt.networks import Variant
from latentrt.painting.autoencoder import Autoencoder, Tile
from latentrt.painting.tiling import Grid
from latentrt.pipeline import Pipeline
from latentrt.text.conditioning import hidden_states
from latentrt_bench.measuring import file_cache
from latentrt_bench.measuring.rounds import WARMUPS

PROMPT = "a large red heart on a blue background"  # its words do not matter: all prompts are as long to the networks
TIMESTEP = np.float32(500)


@dataclass(frozen=True)
class Configuration:
    """What is run. Plain data, as it goes to a worker.

    Attributes:
        model: "demo", or a folder.
        width: of the pictures, in pixels.
        height: likewise.
        batch: pictures at a time.
        device: a provider's name.
        dtype: "fp16" or "fp32".
        steps: of a picture.
        guidance_scale: of a picture; 1 or less is without guidance.
        tile: see `latentrt.load`.
        low_memory: likewise.
    """

    model: str
    width: int
    height: int
    batch: int
    device: str
    dtype: str
    steps: int
    guidance_scale: float
    tile: Tile = "auto"
    low_memory: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.width}x{self.height} batch {self.batch} {self.device} {self.dtype}"

    def load(self) -> Pipeline:
        """The model, opened; its networks are loaded when they are first run."""
        return latentrt.load(
            self.model, device=self.device, dtype=self.dtype, low_memory=self.low_memory, tile=self.tile
        )


@dataclass(frozen=True)
class Work:
    """What one call of a stage has a network compute: `times` runs with inputs of these shapes."""

    component: str
    shapes: Mapping[str, tuple[int, ...]]
    times: int = 1


def work(pipeline: Pipeline, c: Configuration) -> dict[str, Work]:
    """The work of each stage, by its name; nothing is loaded for it."""
    model = pipeline.model
    latent = (c.height // model.vae_scale_factor, c.width // model.vae_scale_factor)
    prompts = 2 if c.guidance_scale > 1 else 1  # of all pictures of a batch, one after the other
    return {
        "text_encoder": Work("text_encoder", {"input_ids": (1, pipeline.tokenizer.max_length)}, prompts),
        "unet": _unet_work(pipeline, c.batch, latent),
        "unet_guided": _unet_work(pipeline, 2 * c.batch, latent),
        "vae_encoder": _vae_work(pipeline, c, "vae_encoder", "sample", 3, model.vae_scale_factor),
        "vae_decoder": _vae_work(pipeline, c, "vae_decoder", "latent_sample", model.latent_channels, 1),
    }


def _unet_work(pipeline: Pipeline, batch: int, latent: tuple[int, int]) -> Work:
    sizes = {
        "batch": batch,
        "sequence": pipeline.tokenizer.max_length,
        "height": latent[0],
        "width": latent[1],
    }
    inputs = pipeline.model.components["unet"].graph(Variant()).inputs
    return Work(
        "unet", {key: tuple(int(sizes.get(str(d), d)) for d in value.shape) for key, value in inputs.items()}
    )


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
    def call() -> None:
        for _ in range(work.times):
            ids = pipeline.tokenizer.encode(PROMPT).ids[None]
            hidden_states(pipeline.runners["text_encoder"], ids)

    return call


def _unet(pipeline: Pipeline, c: Configuration, work: Work) -> Callable[[], Any]:
    session = pipeline.runners["unet"].session(work.shapes)
    feeds = {name: _normal(shape) for name, shape in work.shapes.items()} | {"timestep": TIMESTEP}
    return lambda: session.run(feeds)


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
    "unet": _unet,
    "unet_guided": _unet,
    "vae_encoder": _vae_encoder,
    "vae_decoder": _vae_decoder,
}


def painting(pipeline: Pipeline, c: Configuration, sampler: str | None) -> Any:
    """A batch of pictures, checked and not yet begun. `sampler` None: what the model's files say.

    Raises:
        InputError: a setting cannot be had.
    """
    return pipeline.start_txt2img(
        PROMPT,
        width=c.width,
        height=c.height,
        num_inference_steps=c.steps,
        guidance_scale=c.guidance_scale,
        sampler=sampler,
        seed=list(range(c.batch)),
    )


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
            component.weights.find(p.name, p.shape) for p in component.graph(Variant(runner.dtype)).parameters
        ]
        self._needed = sum(tensor.end - tensor.start for tensor in tensors if tensor is not None)
        self._files = [file.resolve() for file in component.weights.files]
        self._cached: float | None = None
        self._read: int | None = None

    def empty_cache(self) -> None:
        """Have the system forget the files."""
        for file in self._files:
            file_cache.empty(file)
        self._remember()

    def fill_cache(self) -> None:
        """Have the system hold the files."""
        for file in self._files:
            file_cache.fill(file)
        self._remember()

    def load(self) -> None:
        """Open the model and make the session."""
        c = self._c
        component = open_model(c.model).components[self._work.component]
        self._runner = place(c.device, c.dtype, c.low_memory).runner(component)
        self._runner.session(self._work.shapes)

    def proof(self) -> dict[str, Any]:
        """What the cache held before loading, and what came from the disk: see `file_cache.Proof`."""
        read = file_cache.read_from_disk()
        from_disk = None if read is None or self._read is None else read - self._read
        return {"cached_share": self._cached, "from_disk_bytes": from_disk, "needed_bytes": self._needed}

    def _remember(self) -> None:
        shares = [file_cache.cached_share(file) for file in self._files]
        known = [share for share in shares if share is not None]
        self._cached = max(known) if len(known) == len(shares) else None
        self._read = file_cache.read_from_disk()
