"""How programs paint under a mask: one record for each, all that differs between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from PIL import Image

from latentrt.errors import SettingError
from latentrt.painting.a1111_mask import a1111_inpainting
from latentrt.painting.comfyui_mask import comfyui_inpainting
from latentrt.painting.inpainting import Inpainting, make_inpainting
from latentrt.pictures.mask import Mask

# What the network sees of what is kept: the state as it is; the picture, clean; the picture under the noise that the
# run began with; under that of the next seed; under noise that is drawn afresh for each evaluation.
Shown: TypeAlias = Literal["state", "clean", "noised", "noised_anew", "noised_afresh"]
# What lies under the mask at first: the picture; the colours around; the starting noise; zeros; grey pixels.
CONTENTS = ("original", "fill", "latent_noise", "latent_nothing", "grey")

# Settings of a mask, and the fields of `Mask` that they fill.
MASK_FIELDS = {
    "mask_blur": "blur", "invert_mask": "invert", "padding_mask_crop": "padding", "differential": "differential",
    "overlay": "overlay", "masked_content": "content", "grow_mask": "grow", "mask_weight": "weight",
}  # fmt: skip


@dataclass(frozen=True)
class Masking:
    """How a program paints under a mask.

    Attributes:
        make: picture, mask, width, height and pixels per latent -> what is painted.
        shows: what its network sees of what is kept; None: what is kept is put back as diffusers does, latent by latent
            and step by step (`latentrt.painting.blend.Blend`).
        otherwise: the same of some samplers, by the names that they have there.
        contents: which of `CONTENTS` it has.
        exact: every level of a mask counts, as near to black or white as it may be.
        finishes: what is kept is put back into the last latents.
        defaults: of the settings of a mask, where they are others than ours.
        lacks: settings of a mask that it has not, with the values at which they do nothing.
    """

    make: Callable[[Image.Image, Mask, int, int, int], Inpainting]
    shows: Shown | None
    otherwise: Mapping[str, Shown] = field(default_factory=dict)
    contents: tuple[str, ...] = ("original",)
    exact: bool = True
    finishes: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    lacks: Mapping[str, Any] = field(default_factory=dict)


DIFFUSERS_MASKS = Masking(make_inpainting, shows=None, exact=False)
A1111_MASKS = Masking(
    a1111_inpainting,
    shows="state",
    contents=("original", "fill", "latent_noise", "latent_nothing"),
    lacks={"differential": False},
)
FORGE_MASKS = replace(A1111_MASKS, shows="noised_afresh")
COMFYUI_MASKS = Masking(
    comfyui_inpainting,
    shows="noised",
    otherwise={"ddim": "noised_anew"},
    contents=("original", "grey"),
    finishes=False,
    defaults={"mask_blur": 0.0, "overlay": False},
    lacks={"mask_blur": 0, "padding_mask_crop": None, "differential": False, "mask_weight": 1},
)


def settled_mask(masking: Masking, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a mask for which a program has other defaults than we.

    Args:
        masking: the program's.
        name: of the program.
        given: what was asked for.

    Raises:
        SettingError: something is asked for that the program has not, or that does nothing.
    """
    for setting, nothing in masking.lacks.items():
        if given.get(setting) not in (None, nothing):
            raise SettingError(setting, f"is not computed as {name} does; expected none, or another like")
    content = given.get("masked_content")
    if content is not None and content not in masking.contents:
        raise SettingError(
            "masked_content",
            f"{name} puts no {content} under a mask; expected {' or '.join(masking.contents)}, or another like",
        )
    if given.get("grow_mask") is not None and content != "grey":
        raise SettingError(
            "grow_mask", "does nothing without masked_content grey", others=("masked_content",)
        )
    return {setting: value for setting, value in masking.defaults.items() if given.get(setting) is None}
