"""Whether what is asked fits the model, and who is to blame where it does not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from latentrt.errors import InputError, ModelError, SettingError
from latentrt.models.model import Model, Purpose, is_upscaler
from latentrt.painting.programs import Program


@contextmanager
def advised_by(model: Model) -> Iterator[None]:
    """Make a ModelError of what is wrong with what the model's maker advises."""
    try:
        yield
    except InputError as error:
        raise ModelError(f"{model.advice_where}: {error}") from None


@contextmanager
def named(*settings: str, others: tuple[str, ...] = ()) -> Iterator[None]:
    """Make a SettingError of what rooms below, which know no settings, say of one of these, and of others."""
    try:
        yield
    except InputError as error:
        name, colon, problem = str(error).partition(": ")
        if isinstance(error, SettingError) or not colon or name not in settings:
            raise
        raise SettingError(name, problem, others=others) from None


# What each kind of run can do with a UNet, by what it was made for.
_DRIVES: dict[str, tuple[Purpose, ...]] = {
    "txt2img": ("paint",),
    "img2img": ("paint", "edit", "depth"),
    "inpaint": ("paint", "inpaint"),
    "upscale": ("upscale",),
}
# What a UNet is made for, and the run that it is for.
_MADE_FOR: dict[Purpose, tuple[str, str]] = {
    "paint": ("painting from noise", "txt2img"),
    "inpaint": ("inpainting", "inpaint"),
    "edit": ("editing pictures", "img2img"),
    "depth": ("painting after a map of depths", "img2img"),
    "upscale": ("enlarging pictures", "upscale"),
}
_ELSE = {"upscale": "the x4 upscaler"}  # in place of a text-to-image checkpoint


def check_channels(model: Model, run: str) -> None:
    """Refuse a UNet that takes other channels than a run has to give, or gives others than there are to take.

    Raises:
        ModelError: says which run takes it.
    """
    channels, latent_channels = model.unet_channels, model.latent_channels
    given = model.components["unet"].options.number("out_channels", 4)
    if given not in (
        latent_channels,
        2 * latent_channels,
    ):  # of the prediction, or of that and a learned variance
        raise ModelError(
            f"{model.name}: its UNet gives {given} channels; expected the {latent_channels} of its latents, or twice "
            "as many"
        )
    if model.purpose in _DRIVES[run]:
        return
    if model.purpose in _MADE_FOR:
        what, instead = _MADE_FOR[model.purpose]
        why = f"it is made for {what}. Use {instead}, or {_ELSE.get(run, 'a text-to-image checkpoint')}."
    elif is_upscaler(model.components["unet"].config):
        why = (
            f"it is told a class (num_class_embeds), which is known here of the x4 upscaler alone, of "
            f"{latent_channels + 3} channels. Use a text-to-image checkpoint."
        )
    else:
        why = (
            f"what it takes beside the {latent_channels} of its latents is not known here; expected {latent_channels}, "
            f"{latent_channels + 1} with a map of depths, {2 * latent_channels} with those of a picture to edit, or "
            f"{2 * latent_channels + 1} with those of a mask and a masked picture. Use a text-to-image, depth, editing "
            "or inpainting checkpoint."
        )
    raise ModelError(f"{model.name}: its UNet takes {channels} channels, which {run} cannot drive: {why}")


def side_over(run: str, side: int, factor: int) -> int:
    """A side of what is made of a picture with such a side: rounded down; enlarged, a latent for each pixel."""
    rounded = max(side // factor, 1) * factor
    return rounded * factor if run == "upscale" else rounded


def refuse_unlike(model: Model, like: str) -> None:
    """Refuse to follow a program where a model is shown what no program's way is known for.

    Raises:
        SettingError: says which.
    """
    if model.purpose in ("depth", "upscale"):
        what, _ = _MADE_FOR[model.purpose]
        raise SettingError("like", f"{what} is not computed as {like} does; expected diffusers, or none")


def settle_edit(model: Model, given: Mapping[str, Any], settings: dict[str, Any]) -> None:
    """Leave to each model what it heeds: how far to go from a picture, or, of one that edits, towards it.

    Args:
        model: what is to paint.
        given: what was asked for.
        settings: all of the run, of which what does not count becomes None.

    Raises:
        SettingError: what was asked for does not count.
    """
    edits = model.purpose == "edit"
    ignored = {
        "strength": (
            edits,
            "edits pictures, and begins with noise alone; what holds it to the picture is",
            "image_guidance_scale",
        ),
        "image_guidance_scale": (not edits, "edits no pictures; how far it goes from one is", "strength"),
    }
    for name, (does_nothing, why, instead) in ignored.items():
        if does_nothing and name in settings:
            if given.get(name) is not None:
                raise SettingError(
                    name, f"does nothing here: {model.name} {why} {instead}", others=(instead,)
                )
            settings[name] = None


def refuse_weight(model: Model, mask_weight: float) -> None:
    """Refuse to show a UNet more or less of what is under a mask, where it is not made for inpainting.

    Raises:
        SettingError: it is not, and 1 is not the weight.
    """
    if mask_weight != 1 and model.purpose != "inpaint":
        raise SettingError(
            "mask_weight", f"does nothing here: {model.name} is no inpainting model; expected none"
        )


def skipped(model: Model, program: Program | None, clip_skip: int) -> int:
    """How many layers a text encoder leaves out, as diffusers counts, of what is asked for as a program counts."""
    if program is None or not model.is_xl:
        return clip_skip
    return 0 if program.xl_skip is None else max(clip_skip - program.xl_skip, 0)


def check_clip_skip(model: Model, clip_skip: int, most: int | None = None) -> None:
    """Refuse to leave out more layers than there are, or any where a given graph has the last one's result alone.

    `most`: so many may be left out, whether there are as many or not; None: all but one.
    """
    if clip_skip and not model.skips_layers:
        raise SettingError(
            "clip_skip",
            f"cannot be had here: {model.name}'s text encoder is a graph as somebody exported it, which gives the last "
            "layer's result alone",
        )
    if most is not None and clip_skip <= most:
        return
    if clip_skip >= model.text_layers:
        expected = f"0 to {model.text_layers - 1} for a text encoder of {model.text_layers} layers"
        raise SettingError("clip_skip", expected=expected, got=clip_skip)


def size_of(name: str, asked: int | None, model: Model) -> int:
    """A side of the picture: what is asked for, else what the model's maker advises, else what it was made for."""
    multiple = model.vae_scale_factor
    if asked is None:
        asked = model.default_side(name)
    if (fixed := model.fixed_side(name)) not in (None, asked):
        raise SettingError(
            name,
            f"expected {fixed}, which {model.name}'s graphs were exported with and cannot be changed; got {asked}",
        )
    if asked % multiple:
        below = max(asked // multiple, 1) * multiple
        raise SettingError(
            name, f"expected a multiple of {multiple}, got {asked}; try {below} or {below + multiple}"
        )
    return asked
