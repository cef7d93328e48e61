"""What runs are painted with: made once for a model, handed to each run."""

from dataclasses import dataclass
from pathlib import Path

from latentrt.engine.networks import Networks
from latentrt.painting.autoencoder import Autoencoder
from latentrt.text.encoder import TextEncoder


@dataclass(frozen=True)
class Parts:
    """A model's networks, and what stands over two of them: prompts to conditioning, pixels to latents and back.

    Attributes:
        taesd: the folder of a TAESD that was given beside the model; None: its own, where it has one.
    """

    networks: Networks
    text: TextEncoder
    autoencoder: Autoencoder
    taesd: Path | None = None
