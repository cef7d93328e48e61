"""Larger than the model was made for: a picture at its size, enlarged, then painted over.

What AUTOMATIC1111 calls hires fix, and as it does it: the second pass draws its noise afresh from the same seeds at the
larger size, and runs all the steps that are asked for, out of a schedule of steps / strength. Not the same: a decoded
and enlarged picture is encoded to the mean of the encoder's distribution, where AUTOMATIC1111 draws from it without a
seed; and sizes of other proportions are refused, where it cuts.
"""

from dataclasses import dataclass, replace
from typing import Unpack

from latentrt.checks import count, number
from latentrt.errors import InputError
from latentrt.painting.generation import Generation
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.request import Settings, make_request
from latentrt.painting.upscale import find_upscaler
from latentrt.pictures import images
from latentrt.pictures.metadata import number_text

_MAX_STRENGTH = 0.999  # AUTOMATIC1111's, by which a strength of 1 still divides into a schedule


@dataclass(frozen=True)
class Hires:
    """A second pass.

    Attributes:
        scale: how many times larger, more than 1.
        size: width and height in place of `scale`; of the first pass's proportions.
        steps: steps of the second pass, all of which are run. None: as many as in the first.
        strength: more than 0, at most 1: how far to go from the enlarged picture.
        upscaler: a name of `latentrt.painting.upscale.UPSCALERS`, or AUTOMATIC1111's.
    """

    scale: float = 2.0
    size: tuple[int, int] | None = None
    steps: int | None = None
    strength: float = 0.7
    upscaler: str = "latent"

    def target(self, width: int, height: int, factor: int) -> tuple[int, int]:
        """Width and height of the second pass, rounded down to multiples of `factor`.

        Raises:
            InputError: smaller than the first, of other proportions, or more than `MAX_PIXELS`.
        """
        if self.size is None:
            scale = number("hires scale", self.scale)
            wide, high = int(width * scale), int(height * scale)
        else:
            wide, high = (count("hires size", side) for side in self.size)
            if abs(wide * height - high * width) > factor * max(width, height):
                raise InputError(
                    f"hires size: expected the proportions of {width}x{height}, got {wide}x{high}"
                )
        wide, high = wide // factor * factor, high // factor * factor
        if wide < width or high < height or (wide, high) == (width, height):
            raise InputError(f"hires: expected a size above {width}x{height}, got {wide}x{high}")
        if wide * high > images.MAX_PIXELS:
            raise InputError(f"hires: expected at most {images.MAX_PIXELS:,} pixels, got {wide}x{high}")
        return wide, high

    def metadata(self, steps: int) -> tuple[tuple[str, str], ...]:
        """Entries of a picture's text, as AUTOMATIC1111 names them."""
        size = ("Hires upscale", number_text(self.scale))
        if self.size is not None:
            size = ("Hires resize", f"{self.size[0]}x{self.size[1]}")
        return size, ("Hires steps", str(steps)), ("Hires upscaler", find_upscaler(self.upscaler).label)


def start_hires(parts: Parts, prompt: str, hires: Hires, **settings: Unpack[Settings]) -> Generation:
    """Check both passes, and prepare them; nothing is computed yet.

    Raises:
        InputError: a value is out of range; the message names it.
    """
    model = parts.networks.model
    first = make_request(model, prompt, **settings)
    upscaler = find_upscaler(hires.upscaler)
    strength = number("hires strength", hires.strength)
    if not 0 < strength <= 1:
        raise InputError(f"hires strength: expected more than 0 and at most 1, got {hires.strength}")
    steps = first.num_inference_steps if hires.steps is None else count("hires steps", hires.steps)
    width, height = hires.target(first.width, first.height, model.vae_scale_factor)
    total = int(steps / min(strength, _MAX_STRENGTH))
    # Half a step more than is wanted, so that rounding keeps exactly `steps` of `total`.
    kept = min((steps + 0.5) / total, 1.0)
    larger: Settings = {**settings, "width": width, "height": height, "num_inference_steps": total}
    second = replace(make_request(model, prompt, strength=kept, **larger), seeds=first.seeds)
    parameters = [
        replace(told, strength=hires.strength, extra=told.extra + hires.metadata(steps))
        for told in first.parameters(model.name)
    ]
    return Generation(parts, (Pass(first), Pass(second, upscaler)), parameters)
