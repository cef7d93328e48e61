"""Painting a part of a picture anew: where the mask says so, and back into the picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from latentrt.errors import InputError
from latentrt.pictures import images
from latentrt.pictures.mask import Mask

Array = npt.NDArray[Any]
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; Pillow's


@dataclass(frozen=True, eq=False)
class Inpainting:
    """A picture, a mask of its size, and what of both is painted; made by a `Masking`.

    Attributes:
        picture: what is painted into, RGB.
        mask: mode L, of its size, blurred and inverted as asked: where what is painted is seen in the end.
        region: the part of the picture that is painted.
        pixels: that part as the run begins with it, float32 (1, 3, h, w) in [-1, 1].
        hard: bool (1, 1, h, w): the mask of that part, half or more.
        latent_mask: float32 (1, 1, h/8, w/8), 0 or 1: what an inpainting UNet is told of the mask.
        soft: float32 (1, 1, h/8, w/8) in [0, 1]: how much of each latent is painted.
        asked: what was asked for.
        layer: RGBA, of the picture's size: what is laid over what was painted; None: it is painted into the picture.
    """

    picture: Image.Image
    mask: Image.Image
    region: Box
    pixels: Array
    hard: Array
    latent_mask: Array
    soft: Array
    asked: Mask
    layer: Image.Image | None = None

    @property
    def masked_pixels(self) -> Array:
        """The part with grey where it is to be painted: what an inpainting UNet is shown, float32 (1, 3, h, w)."""
        return np.where(self.hard, self.pixels * np.float32(1 - self.asked.weight), self.pixels)

    def paste(self, painted: Image.Image) -> Image.Image:
        """Put what was painted into the picture."""
        left, top, right, bottom = self.region
        part = _uncover(painted, right - left, bottom - top)
        if self.layer is not None:
            canvas = Image.new("RGBA", self.picture.size)
            canvas.paste(part, (left, top))
            return Image.alpha_composite(canvas, self.layer).convert("RGB")
        result = self.picture.copy()
        result.paste(part, (left, top), self.mask.crop(self.region) if self.asked.overlay else None)
        return result


@dataclass(frozen=True, eq=False)
class Part:
    """What of a picture is painted.

    Attributes:
        picture: that which is painted into, RGB.
        mask: mode L, of its size.
        region: of both.
        shown: the picture there, at the size that is painted.
        covered: the mask there, likewise.
    """

    picture: Image.Image
    mask: Image.Image
    region: Box
    shown: Image.Image
    covered: Image.Image

    @property
    def levels(self) -> Array:
        """The mask, float32 (1, 1, h, w) in [0, 1]."""
        return np.asarray(self.covered, np.float32)[None, None] / 255


def make_inpainting(picture: Image.Image, asked: Mask, width: int, height: int, factor: int) -> Inpainting:
    """Prepare the part of a picture that is painted, as diffusers does.

    Args:
        picture: RGB. Without `padding` it is resized to width × height, proportions not kept, as in img2img.
        asked: the mask is resized to the picture.
        width: of what is painted, in pixels; a multiple of `factor`.
        height: likewise.
        factor: pixels per latent.

    Raises:
        InputError: the mask has other proportions than the picture, or nothing is to be painted.
    """
    mask = softened(fitted(asked.image, picture.size), asked, _pillow_blur)
    part = part_of(picture, mask, width, height, asked.padding)
    levels = part.levels
    hard = levels >= 0.5
    latent_mask = hard[:, :, ::factor, ::factor].astype(np.float32)  # torch's interpolate(mode="nearest")
    soft = latent_mask
    if asked.differential:
        soft = levels.reshape(1, 1, height // factor, factor, width // factor, factor).mean(axis=(3, 5))
    refuse_unpainted(soft, factor)
    pixels = images.to_array(part.shown)
    return Inpainting(part.picture, part.mask, part.region, pixels, hard, latent_mask, soft, asked)


def softened(
    mask: Image.Image, asked: Mask, blur: Callable[[Image.Image, float], Image.Image]
) -> Image.Image:
    """The mask inverted and blurred, as asked.

    Raises:
        InputError: nothing of it is left.
    """
    if asked.invert:
        mask = ImageChops.invert(mask)
    if mask.getextrema()[1] == 0:
        raise InputError(
            "mask: nothing to paint: it is black all over, and white is what is painted (unless invert_mask is set)"
        )
    if asked.blur > 0:
        mask = blur(mask, asked.blur)
        if mask.getextrema()[1] == 0:
            raise InputError(f"mask_blur: {asked.blur:g} pixels leave nothing of the mask; expected fewer")
    return mask


def part_of(picture: Image.Image, mask: Image.Image, width: int, height: int, padding: int | None) -> Part:
    """What of a picture is painted: all, resized, or what is around the mask, with so many pixels beside it."""
    if padding is None:
        picture, mask = (images.resize_to(image, width, height) for image in (picture, mask))
        region = (0, 0, width, height)
    else:
        region = crop_region(mask, width, height, padding)
    shown, covered = (_cover(image.crop(region), width, height) for image in (picture, mask))
    return Part(picture, mask, region, shown, covered)


def refuse_unpainted(soft: Array, factor: int) -> None:
    """Refuse a mask of latents that paints none of them.

    Raises:
        InputError: it does not.
    """
    if not soft.any():
        raise InputError(
            f"mask: nothing to paint: no white spot of it is as large as a latent, {factor}x{factor} pixels; "
            "make it larger, or paint the masked region alone (padding_mask_crop), which enlarges it"
        )


def crop_region(mask: Image.Image, width: int, height: int, padding: int) -> Box:
    """The rectangle around all of a mask that is not black, padded, and grown to the proportions width : height.

    It stays inside the picture: where that is too small for the proportions, it has others. diffusers' and
    AUTOMATIC1111's rule, to the pixel.
    """
    painted = np.asarray(mask) > 0
    columns, rows = np.flatnonzero(painted.any(axis=0)), np.flatnonzero(painted.any(axis=1))
    left, right = max(int(columns[0]) - padding, 0), min(int(columns[-1]) + 1 + padding, mask.width)
    top, bottom = max(int(rows[0]) - padding, 0), min(int(rows[-1]) + 1 + padding, mask.height)
    ratio = width / height
    if (right - left) / (bottom - top) > ratio:
        top, bottom = _grown(top, bottom, (right - left) / ratio, mask.height)
    else:
        left, right = _grown(left, right, (bottom - top) * ratio, mask.width)
    return left, top, right, bottom


def _grown(begin: int, end: int, length: float, limit: int) -> tuple[int, int]:
    more = int(length - (end - begin))
    begin, end = begin - more // 2, end + more - more // 2
    beyond = max(end - limit, 0)
    begin, end = begin - beyond, end - beyond
    before = max(-begin, 0)
    return begin + before, min(end + before, limit)


def _pillow_blur(mask: Image.Image, radius: float) -> Image.Image:
    return mask.filter(ImageFilter.GaussianBlur(radius))


def fitted(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask at the picture's size.

    Raises:
        InputError: its proportions differ by more than a pixel.
    """
    scale = size[0] / mask.width
    if abs(mask.height * scale - size[1]) > max(scale, 1):
        raise InputError(
            f"mask: expected the picture's proportions, {size[0]}x{size[1]}, got {mask.width}x{mask.height}"
        )
    return images.resize_to(mask, *size)


def _cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize into width × height, proportions kept, in the middle; its outermost pixels fill what is left."""
    inner = _inner(image.size, width, height)
    if inner == (width, height):
        return images.resize_to(image, width, height)
    pixels = np.asarray(images.resize_to(image, *inner))
    left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
    sides = [(top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0)]
    return Image.fromarray(np.pad(pixels, sides[: pixels.ndim], mode="edge"))


def _uncover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Undo `_cover`: resize until width × height is covered, and cut what stands out."""
    if width / height > image.width / image.height:
        size = width, image.height * width // image.width
    else:
        size = image.width * height // image.height, height
    left, top = size[0] // 2 - width // 2, size[1] // 2 - height // 2
    return images.resize_to(image, *size).crop((left, top, left + width, top + height))


def _inner(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The largest size of the same proportions within width × height."""
    if width / height < size[0] / size[1]:
        return width, max(size[1] * width // size[0], 1)
    return max(size[0] * height // size[1], 1), height
