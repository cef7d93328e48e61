"""A run as passes: each paints all pictures; a later one over what the one before gave, enlarged."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.painting.parts import Parts
from latentrt.painting.request import Request
from latentrt.painting.upscale import Upscaler, interpolate
from latentrt.pictures import images

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pass:
    """One of the passes of a run.

    Attributes:
        request: what is asked of it.
        upscaler: brings the latents of the pass before to this one's size; None where it takes them as they are, or is
            the first.
        parts: of the model that paints it, where it is another than the run's.
    """

    request: Request
    upscaler: Upscaler | None = None
    parts: Parts | None = None

    @property
    def encodes(self) -> bool:
        """Whether it begins with pixels."""
        between = self.upscaler is not None and not self.upscaler.latent
        return between or self.request.pixels is not None

    @property
    def steps(self) -> int:
        """How many steps it has, of all batches."""
        return self.request.evaluated * len(self.request.seeds.batches)


def carry_over(parts: Parts, latents: Array, request: Request, upscaler: Upscaler) -> Request:
    """The request, told to begin with the latents (n, c, h, w) of the pass before, enlarged to its size.

    Pictures are encoded to the mean of the encoder's distribution.
    """
    if upscaler.latent:
        enlarged = interpolate(latents, request.latent_size, upscaler.mode, upscaler.antialias)
        return replace(request, latents=enlarged)
    from PIL.Image import Resampling

    size = (request.width, request.height)
    pictures = [
        image.resize(size, Resampling[upscaler.mode])
        for image in images.to_images(parts.autoencoder.decode(latents))
    ]
    mean, _ = parts.autoencoder.encode(np.concatenate([images.to_array(picture) for picture in pictures]))
    return replace(request, latents=parts.autoencoder.scaled(mean))
