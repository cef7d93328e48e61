"""The small picture that an upscaler is shown, a pixel for each latent: under noise, and it is told how much."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import SettingError
from latentrt.models.layout import INDEX, LOW_RES_CONFIG
from latentrt.models.model import Model
from latentrt.networks import Options
from latentrt.pictures import images
from latentrt.schedule import from_config
from latentrt.schedule.betas import make_alphas_cumprod

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]

_CLASS = "DDPMScheduler"  # the one that diffusers' pipeline takes
_MAX_LEVEL = 350  # its default: what the x4 upscaler was trained with
_BETAS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True, eq=False)
class LowRes:
    """A small picture; made by `make_low_res`.

    Attributes:
        pixels: float32 (1, 3, h, w) in [-1, 1], h and w those of the latents.
        level: the timestep of the noise that it is put under, which the UNet is told.
        alpha_cumprod: what is left of the picture's variance there.
    """

    pixels: Array
    level: int
    alpha_cumprod: np.float32

    def noised(self, noise: Array) -> Array:
        """What the UNet is shown, float32 (n, 3, h, w); `noise` likewise: arXiv:2006.11239 eq. 4."""
        noised: Array = np.sqrt(self.alpha_cumprod) * self.pixels + np.sqrt(1 - self.alpha_cumprod) * noise
        return noised


def make_low_res(model: Model, picture: "Image", width: int, height: int, level: int) -> LowRes:
    """Prepare the picture that is to be enlarged.

    Args:
        model: an upscaler.
        picture: RGB; resized by a bicubic filter where it has another size than is asked for, as diffusers does it.
        width: of the finished picture.
        height: likewise.
        level: how much noise it is put under.

    Raises:
        SettingError: more noise than the model knows.
        ModelError: its scheduler for the small picture is none that there is.
    """
    from PIL.Image import Resampling

    where = str(model.root / LOW_RES_CONFIG)
    config = Options(where, model.low_res_config)
    config.choice("_class_name", _CLASS)
    options = from_config(_CLASS, model.low_res_config, where=where)
    alphas = make_alphas_cumprod(**{name: options[name] for name in _BETAS})
    rows = model.components["unet"].options.number("num_class_embeds", 1)
    most = Options(str(model.root / INDEX), model.index).number("max_noise_level", _MAX_LEVEL, low=0)
    most = min(most, rows - 1, len(alphas) - 1)
    if level > most:
        raise SettingError("noise_level", f"expected 0 to {most}, which {model.name} knows, got {level}")
    factor = model.vae_scale_factor
    size = (width // factor, height // factor)
    small = picture if picture.size == size else picture.resize(size, Resampling.BICUBIC)
    return LowRes(images.to_array(small), level, alphas[level])
