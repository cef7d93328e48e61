"""What runs are painted with: made once for a model, handed to each run."""

from dataclasses import dataclass

from latentrt.engine.networks import Networks
from latentrt.painting.autoencoder import Autoencoder
from latentrt.text.encoder import TextEncoder


@dataclass(frozen=True)
class Parts:
    """A model's networks, and what stands over two of them: prompts to conditioning, pixels to latents and back."""

    networks: Networks
    text: TextEncoder
    autoencoder: Autoencoder
