"""What a batch begins with: its first state, and of inpainting what is kept and what the UNet is shown."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.noise import NoiseSource
from latentrt.painting.autoencoder import Autoencoder
from latentrt.painting.request import Request
from latentrt.painting.seeds import Batch

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
        clean: latents of the picture, (b or 1, c, h, w); None where there is none, or it is not needed.
        channels: what a UNet takes behind the latents: mask and masked picture, (b, 1 + c, h, w); or the picture that
            it edits, (b, c, h, w).
    """

    x: Array
    noise: Array
    rng: NoiseSource
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
    elif request.pixels is not None and not (request.masked_unet and request.from_noise):
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

    clean = None if posteriors.picture is None else sample(posteriors.picture)
    if request.latents is not None:
        clean = request.latents[first : first + len(batch.seeds)]
    noise = varied.randn(shape)
    channels = None
    if request.inpainting is not None and posteriors.masked is not None:
        shown = np.broadcast_to(sample(posteriors.masked), shape)
        mask = np.broadcast_to(request.inpainting.latent_mask, (shape[0], 1, *request.latent_size))
        channels = np.concatenate([mask, shown], axis=1)
    elif request.edited_scale is not None and posteriors.edited is not None:
        channels = np.broadcast_to(posteriors.edited[0] * np.float32(request.edited_scale), shape)
    elif (
        posteriors.picture is not None
        and request.inpainting is not None
        and posteriors.picture[1] is not None
    ):
        # diffusers draws the masked picture for every UNet; the stream goes on behind.
        plain.randn((own, *shape[1:]))
    schedule = request.schedule
    x = schedule.initial(noise) if clean is None or request.from_noise else schedule.noised(clean, noise)
    return Start(x.astype(np.float32, copy=False), noise, plain, clean, channels)
