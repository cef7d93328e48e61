"""What AUTOMATIC1111 calls "fill": the colours around a mask, drawn over what is under it."""

from PIL import Image, ImageChops, ImageFilter

# Radius of a Gaussian, and how often what it gives is laid over what is there: from far to near.
_LAYERS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))


def holed(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture, transparent where a mask of its size (L) is white: mode RGBa, colours times their alpha."""
    hole = Image.new("RGBa", picture.size)
    hole.paste(picture.convert("RGBA").convert("RGBa"), mask=ImageChops.invert(mask))
    return hole


def fill(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Fill in what a mask covers.

    The picture with a hole in it is blurred, wide and narrow, transparency with it; the layers lie on each other, the
    narrower above, so that a pixel has the colours of the nearest that are seen.

    Args:
        picture: RGB.
        mask: mode L, of its size: white is filled in.
    """
    seen = holed(picture, mask)
    filled = Image.new("RGBA", picture.size)
    for radius, times in _LAYERS:
        layer = seen.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            filled.alpha_composite(layer)
    return filled.convert("RGB")
