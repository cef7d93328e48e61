"""How far everything in a picture is, as a depth model's UNet is shown it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import SettingError
from latentrt.models.model import Model
from latentrt.painting.upscale import interpolate

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class DepthMap:
    """A map; made by `make_depth_map`.

    Attributes:
        values: float32 (1, 1, h/8, w/8): from -1, the farthest, to 1, the nearest.
        size: width and height of the map as it was given.
    """

    values: Array
    size: tuple[int, int]


def make_depth_map(
    model: Model, depth: Array | None, picture: tuple[int, int], latent_size: tuple[int, int]
) -> DepthMap | None:
    """Bring a map to the size of the latents, and its range to -1 to 1: diffusers' `prepare_depth_map`.

    Args:
        model: what is to paint.
        depth: float32 (h, w), the larger the nearer, of whatever range and size; None: none is given.
        picture: width and height of the picture whose depths it tells.
        latent_size: height and width of the latents.

    Returns:
        the map; None where the model is shown none.

    Raises:
        SettingError: the model wants one and none is given, or the other way round; or it has other proportions than
            the picture, or is the same everywhere.
    """
    if model.purpose != "depth":
        if depth is not None:
            raise SettingError("depth", f"does nothing here: {model.name} is shown no map of depths")
        return None
    if depth is None:
        raise SettingError("depth", f"expected a map of depths, which {model.name} paints after; got none")
    height, width = depth.shape
    scale = picture[0] / width
    if abs(height * scale - picture[1]) > max(scale, 1):
        raise SettingError(
            "depth", f"expected the picture's proportions, {picture[0]}x{picture[1]}, got {width}x{height}"
        )
    values = interpolate(depth[None, None], latent_size, "bicubic")
    least, most = values.min(), values.max()
    if not most > least:
        raise SettingError("depth", f"expected far and near, got {depth.flat[0]:g} everywhere")
    return DepthMap(np.float32(2) * (values - least) / (most - least) - np.float32(1), (width, height))
