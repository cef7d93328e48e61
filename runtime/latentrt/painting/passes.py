"""A run as passes: each paints all pictures; a later one over what the one before gave, enlarged."""

from dataclasses import dataclass

from latentrt.painting.enlarging import Enlarging
from latentrt.painting.parts import Parts
from latentrt.painting.request import Request


@dataclass(frozen=True, eq=False)
class Pass:
    """One of the passes of a run.

    Attributes:
        request: what is asked of it.
        enlarging: brings the latents of the pass before to this one's size; None where it takes them as they are, or is
            the first.
        parts: of the model that paints it, where it is another than the run's.
    """

    request: Request
    enlarging: Enlarging | None = None
    parts: Parts | None = None

    @property
    def decodes(self) -> bool:
        """Whether it begins with the decoded picture of the pass before."""
        return self.enlarging is not None and not self.enlarging.upscaler.latent

    @property
    def encodes(self) -> bool:
        """Whether it begins with pixels."""
        return self.decodes or self.request.pixels is not None

    @property
    def steps(self) -> int:
        """How many steps it has, of all batches."""
        return self.request.evaluated * len(self.request.seeds.batches)
