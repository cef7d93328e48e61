"""What the picture will be, seen in the middle of a run: the step's denoised latents as a small or quick picture.

Two ways: a linear map from latents to RGB, which costs nothing and is coarse; and TAESD, a small decoder in a folder of
its own (diffusers' AutoencoderTiny), which costs about a twentieth of the whole decoder and shows shapes.
"""

import importlib.resources
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from latentrt.engine.networks import Networks
from latentrt.engine.runner import Runner
from latentrt.errors import InputError, ModelError
from latentrt.files import read_json
from latentrt.models.component import Component
from latentrt.models.model import Model
from latentrt.networks import Variant
from latentrt.pictures import images

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]

TAESD_FOLDER = "taesd"  # of a model, beside its other networks


class Preview(Protocol):
    """Maps denoised latents, float32 (b, c, h, w) scaled as the UNet has them, to b pictures of 8h × 8w."""

    name: str

    def __call__(self, denoised: Array, /) -> list["Image"]:
        """The pictures."""
        ...


class LinearPreview:
    """rgb = latent · factors + bias, enlarged.

    Args:
        factors: (c, 3).
        bias: (3,).
        scale: pixels per latent.
    """

    name = "linear"

    def __init__(self, factors: Array, bias: Array, scale: int) -> None:
        self._factors, self._bias, self._scale = factors, bias, scale

    def __call__(self, denoised: Array) -> list["Image"]:
        """Pictures, bicubically enlarged."""
        from PIL.Image import Resampling

        rgb = np.einsum("bchw,cr->brhw", denoised, self._factors) + self._bias[:, None, None]
        small = images.to_images(rgb.astype(np.float32))
        sides = (denoised.shape[3] * self._scale, denoised.shape[2] * self._scale)
        return [image.resize(sides, Resampling.BICUBIC) for image in small]


class TaesdPreview:
    """TAESD's decoder.

    Args:
        runner: runs it.
    """

    name = "taesd"

    def __init__(self, runner: Runner) -> None:
        self._scaling = runner.component.options.real("scaling_factor", 1.0)
        self._shift = runner.component.options.real("shift_factor", 0.0)
        self.runner = runner

    def __call__(self, denoised: Array) -> list["Image"]:
        """Decode one picture after the other."""
        return images.to_images(self.decode(denoised))

    def decode(self, denoised: Array) -> Array:
        """Pixels (b, 3, 8h, 8w), one picture after the other."""
        latents = denoised / self._scaling + self._shift
        return np.concatenate([self.runner.run({"latent_sample": one[None]})["sample"] for one in latents])


def make_preview(networks: Networks, taesd: str | Path | None = None) -> Preview:
    """The best preview there is for a model: TAESD in the folder given, the model's own, else the linear one.

    Args:
        networks: of the model; a TAESD is freed with them.
        taesd: a folder of diffusers' AutoencoderTiny, with config.json and safetensors.

    Raises:
        ModelError: that folder is none, or its latents are not the model's.
        InputError: there is no TAESD, and the factors of the model's latents are not known.
    """
    model = networks.model
    if taesd is None and model.has_tiny_vae:
        return TaesdPreview(networks.runners["vae_decoder"])
    if (beside := find_taesd(networks, taesd)) is not None:
        return beside
    family = _family(model)
    if family is None:
        raise InputError(
            f"preview: the latents of {model.name} are of no family whose colours are known here "
            f"({', '.join(sorted(_families()))}); give the folder of a TAESD made for it, or put it into "
            f"{model.root / TAESD_FOLDER}"
        )
    factors = np.asarray(family["factors"], np.float32)
    return LinearPreview(factors, np.asarray(family["bias"], np.float32), model.vae_scale_factor)


def find_taesd(networks: Networks, taesd: str | Path | None = None) -> TaesdPreview | None:
    """The TAESD in the folder given, or in the model's own; None where there is none.

    Raises:
        ModelError: that folder is none, or its latents are not the model's.
    """
    folder = networks.model.root / TAESD_FOLDER if taesd is None else Path(taesd).expanduser()
    if taesd is None and not (folder / "config.json").is_file():
        return None
    return TaesdPreview(networks.beside(_open_taesd(folder, networks.model)))


def _open_taesd(folder: Path, model: Model) -> Component:
    component = Component("taesd_decoder", folder, read_json(folder / "config.json"))
    component.graph(Variant())  # what has no graph is refused now
    if (channels := component.options.number("latent_channels", 4)) != model.latent_channels:
        raise ModelError(
            f"{component.where}: decodes latents of {channels} channels; those of {model.name} have "
            f"{model.latent_channels}"
        )
    return component


def _family(model: Model) -> dict[str, Any] | None:
    """The family of this autoencoder's latents, which its config can only hint at: widths, channels and scaling."""
    component = model.components["vae_decoder"]
    found = {
        "block_out_channels": component.config.get("block_out_channels"),
        "latent_channels": model.latent_channels,
    }
    for family in _families().values():
        if family["vae"] == found and abs(family["scaling_factor"] - model.scaling_factor) < 1e-6:
            return family
    return None


@cache
def _families() -> dict[str, dict[str, Any]]:
    text = (importlib.resources.files("latentrt.painting") / "previews.json").read_text(encoding="utf-8")
    families: dict[str, dict[str, Any]] = json.loads(text)
    return families
