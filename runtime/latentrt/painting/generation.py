"""One generation as something to iterate: every step can be seen, timed and previewed, and the whole given up."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import InputError
from latentrt.painting.budget import check_run
from latentrt.painting.caching import cached, check_cached
from latentrt.painting.conditions import check_length, condition, repeated
from latentrt.painting.denoiser import Denoiser
from latentrt.painting.keeping import keeping
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.request import Request
from latentrt.painting.sampling import noise_options
from latentrt.painting.start import Posteriors, begin, encode
from latentrt.painting.tiny import taesd_of
from latentrt.pictures.images import save_image, to_images
from latentrt.pictures.metadata import GenerationParameters, format_parameters
from latentrt.pictures.names import filled
from latentrt.samplers.step import Denoise

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GenerationStep:
    """One step of one batch.

    Attributes:
        index: over the whole generation, from 0; batches and passes count on.
        total: steps of the whole generation.
        sigma: noise level at which the network was asked.
        timestep: the same, as the network was told.
        latents: state after the step, float32 (b, c, h, w) = x0 + sigma * noise; where the last sigma is above 0,
            `Result.latents` are that over a norm.
        denoised: the network's guess at the final latents, float32 (b, c, h, w): what a preview shows.
        seconds: wall time of the step, loading left out.
    """

    index: int
    total: int
    sigma: float
    timestep: float
    latents: Array
    denoised: Array
    seconds: float


@dataclass(frozen=True)
class Result:
    """Finished pictures.

    Attributes:
        images: RGB, in the order of `seeds`.
        latents: final latents, float32 (n, c, h/8, w/8), as diffusers' `output_type="latent"` gives them.
        seeds: the seed of each picture; the one of the batch, repeated, where one stream served all.
        parameters: what is needed to make each picture again. Where one seed served several, they name the batch, which
            can only be made again as a whole.
        timings: seconds by stage: load, text_encoder, vae_encoder, unet, upscale (between two passes),
            vae_decoder, total.
    """

    images: list["Image"]
    latents: Array
    seeds: list[int]
    parameters: list[GenerationParameters]
    timings: dict[str, float]

    def save(self, path: Path | str) -> list[Path]:
        """Write the pictures, each with its parameters, and return where they are.

        Args:
            path: ends in .png, .jpg or .webp; of several pictures it holds `{index}`, from 0, or `{seed}`, which may
                say their width: `{index:05d}`.

        Raises:
            InputError: another ending, or one name for several pictures.
        """
        paths = [Path(filled(str(path), i, seed)) for i, seed in enumerate(self.seeds)]
        if len(set(paths)) < len(paths):
            raise InputError(f"{path}: names one file for {len(paths)} pictures; put {{index}} into it")
        for image, parameters, target in zip(self.images, self.parameters, paths, strict=True):
            save_image(image, target, format_parameters(parameters))
        return paths


class Generation:
    """An iterator of `GenerationStep`, made by `Pipeline.start_txt2img`, `start_img2img` and `start_inpaint`.

    Nothing is computed before it is iterated. Leave the loop, or call `close`, to give it up: no further step is
    computed. `result` runs what is left, decodes, and returns the pictures.
    """

    def __init__(self, parts: Parts, passes: Sequence[Pass], parameters: list[GenerationParameters]) -> None:
        for one in passes:
            painter = one.parts or parts
            networks = painter.networks
            networks.check(*networks.model.text_encoders, "unet")
            painter.text.open()
            check_length(painter.text, one.request, networks.model)
            check_cached(one.request)
        parts.networks.check("vae_decoder")
        if any(one.encodes for one in passes):
            parts.networks.check("vae_encoder")
        check_run(parts, passes)
        self.request = passes[-1].request
        self._taesd = taesd_of(parts, self.request)
        self.total = sum(one.steps for one in passes)
        self._parts = parts
        self._passes = passes
        self._parameters = parameters
        self._latents: Array | None = None
        self._timings: dict[str, float] = {}
        self._steps = self._run()
        self._index = 0
        self._result: Result | None = None

    def __iter__(self) -> Iterator[GenerationStep]:
        return self

    def __next__(self) -> GenerationStep:
        return next(self._steps)

    def close(self) -> None:
        """Give up: no further step is computed."""
        self._steps.close()

    def result(self) -> Result:
        """Run the steps that are left, decode, and return the pictures; a second call returns the same.

        Raises:
            RuntimeError: it was given up, or failed before.
        """
        if self._result is None:
            self._result = self._finish(self.latents())
        return self._result

    def latents(self) -> Array:
        """Run the steps that are left, and return the final latents, float32 (n, c, h/8, w/8), not decoded.

        Raises:
            RuntimeError: it was given up, or failed before.
        """
        for _ in self:
            pass
        if self._latents is None:
            raise RuntimeError("this generation was given up or failed before its last step; start another")
        return self._latents

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage, so far."""
        return dict(self._timings)

    def _run(self) -> Generator[GenerationStep, None, None]:
        latents: Array | None = None
        for one in self._passes:
            request = one.request
            if one.enlarging is not None and latents is not None:
                with self._timed("upscale"):
                    enlarged = one.enlarging(latents, self._parts.autoencoder)
                    request = replace(request, latents=enlarged)
            elif latents is not None:
                request = replace(request, latents=latents)
            latents = yield from self._paint(request, one.parts or self._parts)
        self._latents = latents

    def _paint(self, request: Request, parts: Parts) -> Generator[GenerationStep, None, Array]:
        """The steps of one pass, which returns its final latents."""
        networks, autoencoder = parts.networks, parts.autoencoder
        with self._timed("text_encoder"):
            negative, prompt = condition(parts.text, request)
        posteriors = Posteriors()
        if request.pixels is not None:
            with self._timed("vae_encoder"):
                posteriors = encode(autoencoder, request)
        painted: list[Array] = []
        with networks.stage("unet") as unet:
            for batch in request.seeds.batches:
                start = begin(autoencoder, request, batch, posteriors, sum(map(len, painted)))
                denoiser: Denoise = Denoiser(
                    unet.run,
                    repeated(prompt, len(batch.seeds)),
                    None if negative is None else repeated(negative, len(batch.seeds)),
                    request.guidance,
                    request.sampler.prediction,
                    start.channels,
                    request.guidance_width,
                    request.read_at,
                )
                denoiser = cached(denoiser, request)
                blend = keeping(denoiser, request, batch, start)
                denoiser = denoiser if blend is None else blend
                options = noise_options(request.program, request.sampler, request.settings)
                extrapolates = None if request.program is None else request.program.extrapolates
                steps = request.sampler.run(
                    denoiser, start.x, request.schedule, start.rng, start.path, extrapolates, **options
                )
                x = start.x  # where no step is run, as ComfyUI at a strength of 0
                for _ in range(request.evaluated):
                    before = self._timings.get("unet", 0.0)
                    with self._timed("unet"):  # not the time of whoever iterates
                        step = next(steps, None)
                    if step is None:  # a solver that needed fewer than its schedule has
                        break
                    x, seconds = step.x, self._timings["unet"] - before
                    yield GenerationStep(
                        self._index, self.total, step.sigma, step.timestep, step.x, step.denoised, seconds
                    )
                    self._index += 1
                latents = request.schedule.sample(x, request.evaluated).astype(np.float32, copy=False)
                painted.append(latents if blend is None else blend.finish(latents))
        return np.concatenate(painted)

    @property
    def _load_seconds(self) -> float:
        """What loading has taken so far, of all models that paint."""
        models = {
            id(parts): parts.networks
            for parts in (self._parts, *(one.parts or self._parts for one in self._passes))
        }
        return sum(networks.load_seconds for networks in models.values())

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add what the block takes to a stage, and what networks took to load in it to `load`."""
        started, loaded = time.perf_counter(), self._load_seconds
        yield
        loading = self._load_seconds - loaded
        seconds = {"load": loading, stage: time.perf_counter() - started - loading}
        for name, value in seconds.items():
            self._timings[name] = self._timings.get(name, 0.0) + value

    def _finish(self, latents: Array) -> Result:
        request = self.request
        with self._timed("vae_decoder"):
            pixels = (self._parts.autoencoder if self._taesd is None else self._taesd).decode(latents)
            images = to_images(pixels, truncated=request.program is not None and request.program.truncates)
        if request.inpainting is not None:
            images = [request.inpainting.paste(image) for image in images]
        self._timings["total"] = sum(self._timings.values())
        seeds = [seed for batch in request.seeds.batches for seed in batch.seeds]
        return Result(images, latents, seeds, self._parameters, self._timings)
