"""What is asked of one generation, checked before anything is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from latentrt.painting.depth_map import DepthMap
from latentrt.painting.fast import Fast
from latentrt.painting.guidance import Guidance
from latentrt.painting.inpainting import Inpainting
from latentrt.painting.low_res import LowRes
from latentrt.painting.masking import Masking
from latentrt.painting.programs import Program
from latentrt.painting.seeds import Seeds
from latentrt.samplers import Sampler
from latentrt.schedule import Schedule
from latentrt.text.rows import ROWS, Rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes:
        run: a key of `RUNS`.
        prompt: what to paint.
        settings: every setting of this kind of run by its name, as it is used; None for one that is left to others.
        latent_size: height and width of the latents.
        pixels: those that img2img and inpaint begin with, float32 (1, 3, h, w).
        latents: those that a run or a second pass begins with in their stead, scaled, (n, c, h, w).
        masked_unet: the UNet takes a mask and a masked picture.
        evaluations: how many of the schedule's are run; None: all.
        continues: it goes on with the latents of another run, with the noise that is in them.
        clip_skip: layers of the text encoder to leave out, as diffusers counts.
        zeroes_negative: zeros stand for the negative prompt.
        encodes_empty_negative: it was given, empty, to a model for which zeros would stand otherwise.
        time_ids: what an XL model is told of sizes, for the prompt and for the negative prompt.
        guidance_width: of the embedded guidance scale that the UNet takes; 0 where it takes none.
        program: whose way of computing it follows; None: diffusers'.
        low_res: of an upscaler, the picture that it enlarges.
        depth: of a depth model, the map that it paints after.
        masking: whose way of painting under a mask; None where there is none.
        edited_scale: what the picture's latents are multiplied by where the UNet is shown them to edit; None where it
            is not made for that.
    """

    run: str
    prompt: str
    settings: Mapping[str, Any]
    latent_size: tuple[int, int]
    guidance: Guidance
    sampler: Sampler
    schedule: Schedule
    seeds: Seeds
    pixels: Array | None
    inpainting: Inpainting | None
    masked_unet: bool
    latents: Array | None = None
    evaluations: int | None = None
    continues: bool = False
    clip_skip: int = 0
    zeroes_negative: bool = False
    encodes_empty_negative: bool = False
    time_ids: tuple[Array, Array] | None = None
    guidance_width: int = 0
    edited_scale: float | None = None
    low_res: LowRes | None = None
    depth: DepthMap | None = None
    program: Program | None = None
    masking: Masking | None = None

    @property
    def evaluated(self) -> int:
        """How many evaluations of its schedule are run."""
        return len(self.schedule) if self.evaluations is None else self.evaluations

    @property
    def negative_prompt(self) -> str:
        """What to stay away from."""
        return str(self.settings["negative_prompt"])

    @property
    def fast(self) -> Fast:
        """What it saves."""
        recipe: Fast = self.settings["fast"]
        return recipe

    @property
    def takes_negative(self) -> bool:
        """Whether any evaluation asks the UNet what it makes of the negative prompt."""
        return (self.guidance.is_guided or self.sampler.spec.apart) and not self.guidance_width

    @property
    def edits(self) -> bool:
        """Whether the UNet is shown the picture all along, and begins with noise alone."""
        return self.edited_scale is not None

    @property
    def rows(self) -> int:
        """How many rows of its batch the UNet is asked for a picture, at the most."""
        return 1 + self.takes_negative + (self.takes_negative and self.guidance.image_scale != 1)

    def texts(self, encoders: int) -> dict[str, tuple[str, ...]]:
        """What each of so many text encoders reads, by what warnings call it: the negative prompt, then the prompt."""
        settings = self.settings
        read = {"prompt": (self.prompt, settings["prompt_2"])}
        if self.takes_negative and not self.zeroes_negative:
            read = {"negative prompt": (self.negative_prompt, settings["negative_prompt_2"]), **read}
        return {
            name: (first, first if second is None else second)[:encoders]
            for name, (first, second) in read.items()
        }

    @property
    def text_rows(self) -> Rows:
        """How a prompt is laid out for the text encoders."""
        return ROWS["one" if self.program is None else self.program.rows]

    @property
    def width(self) -> int:
        """Of what is painted, in pixels."""
        return int(self.settings["width"])

    @property
    def height(self) -> int:
        """Of what is painted, in pixels."""
        return int(self.settings["height"])

    @property
    def num_inference_steps(self) -> int:
        """Of the whole schedule."""
        return int(self.settings["num_inference_steps"])

    @property
    def from_noise(self) -> bool:
        """Whether the run begins with noise alone, and not with a picture under noise."""
        if self.inpainting is None:
            return self.edits or (self.pixels is None and self.latents is None)
        forgets = self.settings["strength"] == 1 and not self.inpainting.asked.differential
        return forgets and self.program is None  # the others lay the noise over the picture

    @property
    def blends(self) -> bool:
        """Whether what is to be kept is put back in each step; with diffusers an inpainting UNet sees to that."""
        if self.inpainting is None:
            return False
        if self.masking is not None and self.masking.shows is not None:
            return True
        return not self.masked_unet or self.inpainting.asked.differential

    @property
    def read_at(self) -> Callable[[float], float] | None:
        """See `Denoiser`."""
        table = self.schedule.train_sigmas
        if self.program is None or self.sampler.key not in self.program.counted or table is None:
            return None
        return lambda timestep: float(table[int(timestep)])

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the finished pictures."""
        return (self.width, self.height) if self.inpainting is None else self.inpainting.picture.size
