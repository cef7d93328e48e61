"""Whether what is asked fits the model, and who is to blame where it does not."""

from collections.abc import Iterator
from contextlib import contextmanager

from latentrt.errors import InputError, ModelError, SettingError
from latentrt.models.model import Model


@contextmanager
def advised_by(model: Model) -> Iterator[None]:
    """Make a ModelError of what is wrong with what the model's maker advises."""
    try:
        yield
    except InputError as error:
        raise ModelError(f"{model.advice_path}: {error}") from None


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


def check_channels(model: Model, inpainting: bool) -> None:
    """Refuse a UNet that takes other channels than there are to give, or gives others than there are to take."""
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
    masked = 2 * latent_channels + 1  # of the sample, the mask, and the masked picture
    if channels == latent_channels or (inpainting and channels == masked):
        return
    if inpainting:
        raise ModelError(
            f"{model.name}: its UNet takes {channels} channels; expected the {latent_channels} of its latents, or "
            f"{masked} with those of a mask and a masked picture. Use a text-to-image or an inpainting checkpoint."
        )
    raise ModelError(
        f"{model.name}: its UNet takes {channels} channels, not the {latent_channels} of its latents: it is made "
        "for inpainting or editing, which txt2img and img2img cannot drive. Use a text-to-image checkpoint."
    )


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
