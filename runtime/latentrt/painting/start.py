"""What a batch begins with: its first state, and of inpainting what is kept and what the UNet is shown."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.noise import BrownianMotion, BrownianTree, NoiseSource
from latentrt.painting.autoencoder import Autoencoder
from latentrt.painting.programs import Program
from latentrt.painting.request import Request
from latentrt.painting.seeds import GENERATORS, Batch

Array = npt.NDArray[Any]
# Mean and standard deviation, each (1, c, h, w); None for the latter of an autoencoder that has none.
Posterior: TypeAlias = tuple[Array, Array | None]


@dataclass(frozen=True, eq=False)
class Start:
    """Of one batch.

    Attributes:
        x: first state, float32 (b, c, h, w).
        noise: of unit variance, as it was drawn, (b, c, h, w).
        rng: where the sampler goes on drawing.
        path: what an SDE sampler follows in place of drawing; None: it draws, or makes a path of its own.
        clean: latents of the picture, (b or 1, c, h, w); None where there is none, or it is not needed.
        channels: what a UNet takes behind the latents: mask and masked picture, (b, 1 + c, h, w); the picture that it
            edits, (b, c, h, w); that which it enlarges, (b, 3, h, w); or a map of depths, (b, 1, h, w).
    """

    x: Array
    noise: Array
    rng: NoiseSource
    path: BrownianMotion | None = None
    clean: Array | None = None
    channels: Array | None = None


@dataclass(frozen=True, eq=False)
class Posteriors:
    """What the encoder says of pictures; None where it is not needed.

    Attributes:
        picture: of that which a run begins with.
        masked: of that with grey under the mask.
        edited: of that which is shown as it is, to be edited.
    """

    picture: Posterior | None = None
    masked: Posterior | None = None
    edited: Posterior | None = None


def encode(autoencoder: Autoencoder, request: Request) -> Posteriors:
    """Encode the pictures that this request needs, all in one call."""
    wanted: dict[str, Array] = {}
    if request.pixels is not None and request.edits:
        wanted["edited"] = request.pixels
    elif request.pixels is not None and (request.blends or not (request.masked_unet and request.from_noise)):
        wanted["picture"] = request.pixels
    if request.inpainting is not None and request.masked_unet:
        wanted["masked"] = request.inpainting.masked_pixels
    if not wanted:
        return Posteriors()
    mean, std = autoencoder.encode(np.concatenate(list(wanted.values())))
    return Posteriors(
        **{name: (mean[i : i + 1], None if std is None else std[i : i + 1]) for i, name in enumerate(wanted)}
    )


def begin(
    autoencoder: Autoencoder, request: Request, batch: Batch, posteriors: Posteriors, first: int = 0
) -> Start:
    """Draw what the batch begins with, in diffusers' order: the picture's latents, the noise, the masked picture's.

    Before all of them the noise of a small picture that is enlarged.

    One stream draws one sample of a posterior for all pictures of the batch; streams of their own draw one each. Of a
    picture that is edited it is the mean that is shown.

    Args:
        autoencoder: scales what is drawn.
        request: the run.
        batch: the pictures to begin with.
        posteriors: what `encode` gave.
        first: the place of the batch's first picture among those of the run.
    """
    plain, varied = request.seeds.sources(batch)
    if request.continues and request.latents is not None:
        handed = request.latents[first : first + len(batch.seeds)]
        return Start(request.schedule.resumed(handed), np.zeros_like(handed), plain)
    shape = (len(batch.seeds), autoencoder.latent_channels, *request.latent_size)
    own = 1 if request.seeds.one_stream else len(batch.seeds)

    def sample(posterior: Posterior) -> Array:
        mean, std = posterior
        mean = np.repeat(mean, own, axis=0)
        std = None if std is None else np.repeat(std, own, axis=0)
        return autoencoder.drawn(mean, std, plain)

    program, picture, masked = request.program, posteriors.picture, posteriors.masked
    if program is not None and program.encoder == "mean":  # so that the noise is what is drawn first
        picture, masked = (None if one is None else (one[0], None) for one in (picture, masked))
    clean = None if picture is None else sample(picture)
    if request.latents is not None:
        clean = request.latents[first : first + len(batch.seeds)]
    channels = None
    if request.low_res is not None:
        small = request.low_res.noised(plain.randn((own, *request.low_res.pixels.shape[1:])))
        channels = np.broadcast_to(small, (shape[0], *small.shape[1:]))
    elif request.depth is not None:
        channels = np.broadcast_to(request.depth.values, (shape[0], 1, *request.latent_size))
    multiplier = request.settings.get("noise_multiplier")
    noise = varied.randn(shape) * np.float32(1 if multiplier is None else multiplier)
    if not request.settings["add_noise"]:
        noise = np.zeros_like(noise)
    if request.inpainting is not None and masked is not None:
        shown = np.broadcast_to(sample(masked), shape)
        mask = np.broadcast_to(request.inpainting.latent_mask, (shape[0], 1, *request.latent_size))
        channels = np.concatenate([mask, shown], axis=1)
    elif request.edited_scale is not None and posteriors.edited is not None:
        channels = np.broadcast_to(posteriors.edited[0] * np.float32(request.edited_scale), shape)
    elif picture is not None and request.inpainting is not None and picture[1] is not None:
        # diffusers draws the masked picture for every UNet; the stream goes on behind.
        plain.randn((own, *shape[1:]))
    if request.inpainting is not None and clean is not None:
        clean = _under(request, batch, clean, shape)
    schedule = request.schedule
    if clean is None or request.from_noise:
        x = schedule.initial(noise)
    elif not request.evaluated:  # some of ComfyUI's schedules end with noise
        x = np.broadcast_to(clean, shape)
    elif program is not None and schedule.whole is None and schedule.added is None:
        x = clean + schedule.initial(noise)  # as noise alone would be scaled
    else:
        x = schedule.noised(clean, noise)
    x = x.astype(np.float32, copy=False)
    path = None if program is None else _tree(request, batch, program, shape)
    if request.seeds.delta or (program is not None and program.restarts):
        plain = request.seeds.later(batch)
    return Start(x, noise, plain, path, clean, channels)


def _under(request: Request, batch: Batch, clean: Array, shape: tuple[int, ...]) -> Array:
    """The picture's latents with what lies under the mask at first, where that is made of latents."""
    inpainting = request.inpainting
    if inpainting is None or inpainting.asked.content not in ("latent_noise", "latent_nothing"):
        return clean
    kept: Array = clean * (1 - inpainting.soft)
    if inpainting.asked.content == "latent_nothing":
        return kept
    noise = request.seeds.sources(batch)[0].randn(shape)  # the seeds' own, without variation or multiplier
    return kept + noise * inpainting.soft


def _tree(request: Request, batch: Batch, program: Program, shape: tuple[int, ...]) -> BrownianMotion | None:
    """What an SDE sampler follows in a program; None for other samplers, and where no step is run."""
    if not request.sampler.follows or not request.evaluated:
        return None
    generator = GENERATORS[request.seeds.rng]
    if program.follows == "trees":  # for each picture one, over the whole schedule
        return BrownianTree(batch.seeds, shape, *request.schedule.span, generator, program.log_ends)
    sigmas = request.schedule.sigmas
    return BrownianTree(
        batch.seeds[0], shape, sigmas[sigmas > 0].min(), sigmas.max(), generator, program.log_ends
    )
