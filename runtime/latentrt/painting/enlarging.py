"""How the pictures of one pass become what the next begins with: enlarged, and cut to its proportions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from latentrt.painting.autoencoder import Autoencoder
from latentrt.painting.upscale import Fit, Upscaler, enlarge
from latentrt.pictures import images

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Enlarging:
    """Between two passes.

    Attributes:
        upscaler: what enlarges.
        covered: width and height in pixels that all is enlarged to; but for a cut behind, the size.
        size: width and height in pixels of the result.
        fit: what is done with other proportions.
        truncates: levels of a decoded picture are cut to whole ones, not rounded.
    """

    upscaler: Upscaler
    covered: tuple[int, int]
    size: tuple[int, int]
    fit: Fit = "refused"
    truncates: bool = False

    def __call__(self, latents: Array, autoencoder: Autoencoder) -> Array:
        """What the second pass begins with, of clean latents (n, c, h, w) of the first.

        A decoded picture is encoded to the mean of the encoder's distribution.
        """
        factor = autoencoder.factor
        wide, high = (side // factor for side in self.covered)
        if self.upscaler.latent:
            enlarged = enlarge(self._middle(latents), (high, wide), self.upscaler)
        else:
            decoded = self._middle(autoencoder.decode(latents))
            pictures = images.to_images(decoded, truncated=self.truncates)
            pixels = [images.to_array(self._resized(picture)) for picture in pictures]
            enlarged = autoencoder.scaled(autoencoder.encode(np.concatenate(pixels))[0])
        columns, rows = wide - self.size[0] // factor, high - self.size[1] // factor
        return enlarged[..., rows // 2 : high - (rows + 1) // 2, columns // 2 : wide - (columns + 1) // 2]

    def _middle(self, x: Array) -> Array:
        """The middle (…, h, w) of the size's proportions, where it is cut out before."""
        if self.fit != "before":
            return x
        high, wide = x.shape[-2:]
        before, after = wide / high, self.size[0] / self.size[1]
        left = round((wide - wide * (after / before)) / 2) if before > after else 0
        top = round((high - high * (before / after)) / 2) if before < after else 0
        return x[..., top : high - top, left : wide - left]

    def _resized(self, picture: "Image") -> "Image":
        from PIL.Image import Resampling

        mode = Resampling[self.upscaler.mode]
        if self.fit != "behind":
            return picture.resize(self.covered, mode)
        # AUTOMATIC1111 enlarges both sides alike, and brings them to what it wants by Lanczos' filter, over eights.
        scale = max(self.covered[0] / picture.width, self.covered[1] / picture.height)
        if scale > 1:
            picture = picture.resize((int(picture.width * scale), int(picture.height * scale)), mode)
            picture = images.resize_to(picture, picture.width // 8 * 8, picture.height // 8 * 8)
        return images.resize_to(picture, *self.covered)
