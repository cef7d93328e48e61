"""What runs are painted with: made once for a model, handed to each run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from latentrt.engine.networks import Networks
from latentrt.painting.autoencoder import Autoencoder, Tile
from latentrt.pictures import images
from latentrt.text.encoder import TextEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Parts:
    """A model's networks, and what stands over two of them: prompts to conditioning, pixels to latents and back."""

    networks: Networks
    text: TextEncoder
    autoencoder: Autoencoder

    def encode(self, pixels: Array, tile: Tile | None = None) -> tuple[Array, Array]:
        """The stage of the encoder; see `Autoencoder.encode`."""
        with self.networks.stage("vae_encoder"):
            return self.autoencoder.encode(pixels, tile)

    def decode(self, latents: Array, tile: Tile | None = None) -> list["Image"]:
        """The stage of the decoder: pictures of scaled latents; see `Autoencoder.decode`."""
        with self.networks.stage("vae_decoder"):
            return images.to_images(self.autoencoder.decode(latents, tile))
