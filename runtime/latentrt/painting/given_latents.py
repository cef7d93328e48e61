"""Latents that a run begins with in place of a picture."""

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError, SettingError
from latentrt.models.model import Model

Array = npt.NDArray[Any]


def are_latents(image: object) -> TypeGuard[Array]:
    """Whether it is an array of latents, (n, c, h, w), and no picture."""
    return isinstance(image, np.ndarray) and image.ndim == 4


def fit_latents(model: Model, latents: Array, asked: dict[str, Any]) -> Array:
    """Check latents, and settle the size and the number of pictures by them; gives one for each picture.

    Args:
        model: what is to paint.
        latents: as `Result.latents`, (n, c, h, w). One serves all pictures.
        asked: settings, of which width, height and num_images are filled in.

    Raises:
        SettingError: they are no latents of this model, or something else is asked for than they are.
        ModelError: the model begins with pixels.
    """
    channels, factor = model.latent_channels, model.vae_scale_factor
    if model.purpose == "edit":
        raise ModelError(f"{model.name}: edits pictures, and is shown one; expected a picture, got latents")
    if latents.dtype.kind != "f" or latents.shape[1] != channels or 0 in latents.shape:
        raise SettingError(
            "image",
            f"expected latents of floats, (n, {channels}, height / {factor}, width / {factor}), got {latents.dtype} "
            f"{latents.shape}",
        )
    if not np.isfinite(latents).all():
        raise SettingError("image", "expected finite latents, got some that are infinite or no number")
    for name, side in zip(("height", "width"), latents.shape[2:], strict=True):
        if asked[name] not in (None, side * factor):
            raise SettingError(name, expected=f"{side * factor} or None, as the latents are", got=asked[name])
        asked[name] = side * factor
    places = [asked["seed"], asked["batch_index"]]
    counts = [len(one) for one in places if isinstance(one, list | tuple)]
    count = asked["num_images"] if asked["num_images"] is not None else max(counts, default=len(latents))
    if len(latents) not in (1, count):
        raise SettingError("num_images", expected=f"{len(latents)}, as many as latents", got=count)
    asked["num_images"] = count
    return np.repeat(latents.astype(np.float32), count // len(latents), axis=0)
