"""What a single file's UNet predicts, and on which schedule: read off markers, then metadata, then statistics.

The order is that of the programs that read such files; a marker is a tensor that exists to be found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentrt.errors import ModelError
from latentrt.models import published
from latentrt.models.contents import Contents
from latentrt.models.families import SD2, SD2_CONTEXT, SDXL, Family

# Of the last attention's first norm; ComfyUI tells Stable Diffusion 2.x's two kinds apart by its spread.
_SPREAD_OF = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"
_SPREAD_OF_V = 0.09
_NAMES = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon", "eps": "epsilon"}
_PLAYGROUND_ADVICE = {"guidance_scale": 3.0}
_SAMPLE_SIZE_OF_V = 96  # of Stable Diffusion 2.x, in latents


@dataclass(frozen=True)
class Prediction:
    """What counts for a file.

    Attributes:
        type: as diffusers' schedulers call it.
        why: what said so.
        scheduler: the config that counts.
        vae: what the autoencoder's config says besides.
        sample_size: latents of a side, where it tells; None: the family's.
        defaults: advice for a run, beside the family's.
        is_said: somebody says so; else it is guessed.
        continuous: it was trained on noise levels of its own, which no other scheduler's stand for.
    """

    type: str
    why: str
    scheduler: Mapping[str, Any]
    vae: Mapping[str, Any] = field(default_factory=dict)
    sample_size: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    is_said: bool = True
    continuous: bool = False


def prediction_of(
    contents: Contents, family: Family, unet: Mapping[str, Any], yaml: Mapping[str, Any]
) -> Prediction:
    """What a file's UNet predicts.

    Args:
        contents: of the file.
        family: of its UNet.
        unet: its config.
        yaml: what a .yaml beside the file says; empty where there is none.

    Raises:
        ModelError: a marker holds what it cannot.
    """
    marked = _marked(contents, family) if family is SDXL else None
    if marked is not None:
        return marked
    metadata = contents.metadata
    for key in ("modelspec.prediction_type", "prediction_type"):
        if (said := _NAMES.get(metadata.get(key, "").lower())) is not None:
            return _plain(family, said, f"its metadata's {key} says so")
    if "v2-768-v" in metadata.get("modelspec.architecture", ""):
        return _plain(family, "v_prediction", "its metadata's modelspec.architecture says so")
    parameterization = yaml.get("parameterization")
    if parameterization in ("v", "eps"):
        return _plain(family, _NAMES[parameterization], "the .yaml beside it says so")
    spread = contents.unet.get(_SPREAD_OF)
    if family is SD2 and unet["in_channels"] == 4 and unet["cross_attention_dim"] == SD2_CONTEXT and spread:
        value = float(np.std(contents.weights.read(spread, np.float32)))
        kind = "v_prediction" if value > _SPREAD_OF_V else "epsilon"
        side = "above" if value > _SPREAD_OF_V else "below"
        why = f"the spread of a norm's biases, {value:.3f}, is {side} {_SPREAD_OF_V}"
        return _plain(family, kind, why, is_said=False)
    kind = family.scheduler.get("prediction_type", "epsilon")
    return _plain(family, kind, f"nothing in it says otherwise, and {family.name} does", is_said=False)


def asked(family: Family, kind: str) -> Prediction:
    """What counts where somebody says what the UNet predicts."""
    return _plain(family, kind, "it was asked for")


def _plain(family: Family, kind: str, why: str, is_said: bool = True) -> Prediction:
    if family is SD2 and kind == "v_prediction":
        scheduler = published.SD2_V_SCHEDULER
        return Prediction(kind, why, scheduler, sample_size=_SAMPLE_SIZE_OF_V, is_said=is_said)
    return Prediction(kind, why, {**family.scheduler, "prediction_type": kind}, is_said=is_said)


def _marked(contents: Contents, family: Family) -> Prediction | None:
    """What the markers say; None where there are none."""
    markers = contents.markers
    if "edm_mean" in markers and "edm_std" in markers:
        mean, std = (_values(contents, name, 4) for name in ("edm_mean", "edm_std"))
        statistics = {"latents_mean": mean, "latents_std": std, "scaling_factor": 0.5}
        why = "the tensors edm_mean and edm_std say so"
        scheduler = published.PLAYGROUND_SCHEDULER
        return Prediction("epsilon", why, scheduler, statistics, defaults=_PLAYGROUND_ADVICE, continuous=True)
    if "edm_vpred.sigma_max" in markers:
        sigmas = {
            key: _values(contents, f"edm_vpred.{key}", 1)[0]
            for key in ("sigma_max", "sigma_min")
            if f"edm_vpred.{key}" in markers
        }
        why = "the tensor edm_vpred.sigma_max says so"
        return Prediction("v_prediction", why, {**published.COSXL_SCHEDULER, **sigmas}, continuous=True)
    if "v_pred" not in markers:
        return None
    noised: dict[str, Any] = {**family.scheduler, "prediction_type": "v_prediction"}
    why = "the tensor v_pred says so"
    if "ztsnr" in markers:
        noised["rescale_betas_zero_snr"] = True
        why += ", and ztsnr that its noise ends without signal"
    return Prediction("v_prediction", why, noised)


def _values(contents: Contents, name: str, count: int) -> list[float]:
    values = contents.weights.read(contents.markers[name], np.float64).reshape(-1)
    if values.size != count or not np.isfinite(values).all():
        raise ModelError(
            f"{contents.file}: tensor {name}: expected {count} finite numbers, got {values.size}"
        )
    return [float(value) for value in values]
