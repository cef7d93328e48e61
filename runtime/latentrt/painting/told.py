"""What a model of SDXL's kind is told beside the text: sizes, places and scores (arXiv:2307.01952, section 2.2)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import SettingError
from latentrt.models.model import Model
from latentrt.painting.programs import Program

Array = npt.NDArray[Any]

PROMPTS = ("prompt_2", "negative_prompt_2")
SIZES = (
    "original_size",
    "crops_coords_top_left",
    "target_size",
    "negative_original_size",
    "negative_crops_coords_top_left",
    "negative_target_size",
)
SCORES = ("aesthetic_score", "negative_aesthetic_score")
_SCORES = (6.0, 2.5)  # diffusers' defaults


def refuse_untold(model: Model, settings: Mapping[str, Any]) -> None:
    """Refuse what this model is not told.

    Raises:
        SettingError: it is no XL model, has one text encoder, or is told a score in place of the target size.
    """
    count = model.num_time_ids
    reasons = {
        **dict.fromkeys(PROMPTS, "" if len(model.text_encoders) > 1 else "has one text encoder"),
        **dict.fromkeys(SIZES, "" if count else "is told no sizes: it is of another kind than SDXL"),
        **dict.fromkeys(SCORES, "" if count == 5 else "is told no scores: it is no refiner"),
    }
    if count == 5:
        reasons |= dict.fromkeys(
            ("target_size", "negative_target_size"), "is told a score in its place: it is a refiner"
        )
    for name, reason in reasons.items():
        if reason and settings.get(name) is not None:
            raise SettingError(name, f"does nothing here: {model.name} {reason}")


def zeroes_negative(
    model: Model, program: Program | None, given: Mapping[str, Any], settings: Mapping[str, Any]
) -> bool:
    """Whether zeros stand for the negative prompt.

    Args:
        model: what is to paint.
        program: whose way the run follows; None: diffusers', where an empty text that is given is encoded.
        given: what was asked for.
        settings: all of the run.

    Raises:
        SettingError: a second negative prompt is asked for, and they do.
    """
    zeroes = model.zeroes_empty_negative and given.get("negative_prompt") is None
    if program is not None:
        zeroes = program.zeroes_empty and model.is_xl and not settings["negative_prompt"]
    if zeroes and settings["negative_prompt_2"] is not None:
        raise SettingError(
            "negative_prompt_2", "does nothing without negative_prompt", others=("negative_prompt",)
        )
    return zeroes


def time_ids(model: Model, settings: Mapping[str, Any], run: str) -> tuple[Array, Array] | None:
    """Numbers (6,) or (5,), float32, for the prompt and for the negative prompt; None where the model is told none.

    What is not given is diffusers' default. It passes over `negative_crops_coords_top_left` outside of txt2img, and in
    txt2img over the negative prompt's sizes where not both are given; here each counts.

    Args:
        model: what is to paint.
        settings: all of the run, its width and height settled.
        run: its kind.
    """
    count = model.num_time_ids
    if not count:
        return None

    def given(name: str, default: Any) -> Any:
        return default if settings.get(name) is None else settings[name]

    size = (settings["height"], settings["width"])
    original, target = given("original_size", size), given("target_size", size)
    crop = given("crops_coords_top_left", (0, 0))
    apart = count == 5 or (
        run == "txt2img"
        and None not in (settings["negative_original_size"], settings["negative_target_size"])
    )
    negative_original = given("negative_original_size", original)
    negative_crop = given("negative_crops_coords_top_left", (0, 0) if apart else crop)
    if count == 5:
        score, negative_score = (given(name, default) for name, default in zip(SCORES, _SCORES, strict=True))
        return _row(*original, *crop, score), _row(*negative_original, *negative_crop, negative_score)
    negative_target = given("negative_target_size", target)
    return _row(*original, *crop, *target), _row(*negative_original, *negative_crop, *negative_target)


def _row(*numbers: float) -> Array:
    return np.array(numbers, np.float32)
