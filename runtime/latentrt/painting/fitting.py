"""Whether what is asked fits the model, and who is to blame where it does not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from latentrt.errors import InputError, ModelError, SettingError
from latentrt.models.model import Model, Purpose


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
    "img2img": ("paint", "edit"),
    "inpaint": ("paint", "inpaint"),
}
_INSTEAD: dict[Purpose, str] = {
    "inpaint": "it is made for inpainting. Use inpaint, or a text-to-image checkpoint.",
    "edit": "it is made for editing pictures. Use img2img, or a text-to-image checkpoint.",
}


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
    known = (
        f"what it takes beside the {latent_channels} of its latents is not known here; expected {latent_channels}, "
        f"{2 * latent_channels} with those of a picture to edit, or {2 * latent_channels + 1} with those of a mask and "
        "a masked picture. Use a text-to-image, editing or inpainting checkpoint."
    )
    raise ModelError(
        f"{model.name}: its UNet takes {channels} channels, which {run} cannot drive: "
        f"{_INSTEAD.get(model.purpose, known)}"
    )


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


def check_clip_skip(model: Model, clip_skip: int) -> None:
    """Refuse to leave out more layers than there are, or any where a given graph has the last one's result alone."""
    if clip_skip and not model.skips_layers:
        raise SettingError(
            "clip_skip",
            f"cannot be had here: {model.name}'s text encoder is a graph as somebody exported it, which gives the last "
            "layer's result alone",
        )
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
