"""What a graph does not say, as the model families were published; taken by name, and told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from latentrt.models.published import SD1_SCHEDULER

_XL_SCHEDULER: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
# Of LCM_Dreamshaper_v7, whose schedule is that of all its kind.
LCM_SCHEDULER: dict[str, Any] = {
    **{key: SD1_SCHEDULER[key] for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")},
    "_class_name": "LCMScheduler",
    "clip_sample": False,
    "original_inference_steps": 50,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_scaling": 10.0,
    "timestep_spacing": "leading",
}
_EXCLAMATION = "!"  # what OpenCLIP's text encoders are filled up with


@dataclass(frozen=True)
class Family:
    """One published family.

    Attributes:
        name: of it.
        scaling_factor: of its autoencoder.
        scheduler: its scheduler config.
        predicts: its prediction type; None where its models differ in that.
        index: what its `model_index.json` says besides classes.
        pads: by text encoder, the token that fills up a row, where it is not the end of text.
    """

    name: str
    scaling_factor: float
    scheduler: Mapping[str, Any]
    predicts: str | None = "epsilon"
    index: Mapping[str, Any] = field(default_factory=dict)
    pads: Mapping[str, str] = field(default_factory=dict)


# By the width of what the UNet is told of the text, and whether it is told sizes.
FAMILIES: dict[tuple[int, bool], Family] = {
    (768, False): Family("Stable Diffusion 1.x", 0.18215, SD1_SCHEDULER),
    (1024, False): Family(
        "Stable Diffusion 2.x", 0.18215, SD1_SCHEDULER, predicts=None, pads={"text_encoder": _EXCLAMATION}
    ),
    (2048, True): Family(
        "Stable Diffusion XL", 0.13025, _XL_SCHEDULER, pads={"text_encoder_2": _EXCLAMATION}
    ),
    (1280, True): Family(
        "Stable Diffusion XL's refiner",
        0.13025,
        _XL_SCHEDULER,
        index={"force_zeros_for_empty_prompt": False},
        pads={"text_encoder_2": _EXCLAMATION},
    ),
}
