"""What keeps a part of the picture in a run: as the program does whose way it follows."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.noise import PhiloxGenerator
from latentrt.painting.blend import Blend, SoftBlend
from latentrt.painting.masking import Shown
from latentrt.painting.programs import called
from latentrt.painting.request import Request
from latentrt.painting.seeds import Batch
from latentrt.painting.start import Start
from latentrt.samplers.step import Denoise
from latentrt.schedule import Evaluation

Array = npt.NDArray[Any]
Covering = Callable[[Evaluation], Array]


def keeping(denoise: Denoise, request: Request, batch: Batch, start: Start) -> Blend | SoftBlend | None:
    """A denoiser over a denoiser that keeps what is outside of the mask; None where nothing is kept so."""
    inpainting, masking = request.inpainting, request.masking
    if inpainting is None or masking is None or not request.blends or start.clean is None:
        return None
    mask = inpainting.soft
    if masking.shows is None:
        return Blend(denoise, start.clean, start.noise, mask, len(request.schedule))
    shown = masking.otherwise.get(_sampler(request), masking.shows)
    covering = _covering(shown, request, batch, start, start.clean)
    return SoftBlend(denoise, start.clean, mask, covering, masking.finishes)


def _sampler(request: Request) -> str:
    """The name of the sampler that the program takes it for, though it may compute another by it."""
    asked = request.settings["sampler"]
    if asked is None or request.program is None:
        return request.sampler.key
    return called(request.program, asked)


def _covering(shown: Shown, request: Request, batch: Batch, start: Start, clean: Array) -> Covering | None:
    """What the network sees of what is kept; None: the state as it is."""
    if shown == "state":
        return None
    if shown == "clean":  # as the state's variance-preserving form has it, whatever the noise
        return lambda at: clean * np.float32(math.sqrt(1 + at.sigma**2))
    if shown == "noised_afresh":
        # CUDA's global generator, which Forge sets by the last seed where it draws the noise of a picture.
        source = PhiloxGenerator((batch.seeds[-1] + 100_000) % 65_536)
        return lambda at: clean + np.float32(at.sigma) * source.randn(start.noise.shape)
    noise = start.noise
    if shown == "noised_anew":
        noise = replace(request.seeds, delta=1).later(batch).randn(noise.shape)
    return lambda at: clean + np.float32(at.sigma) * noise
