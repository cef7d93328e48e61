"""How a picture is brought to the size that is painted."""

from PIL import Image

from latentrt.pictures import images


def framed(picture: Image.Image, width: int, height: int, margin: int = 0) -> Image.Image:
    """A picture at width × height: cropped where `cropped_at` says so, else resized."""
    corner = cropped_at(picture.size, width, height, margin)
    if corner is None:
        return images.resize_to(picture, width, height)
    left, top = corner
    return picture.crop((left, top, left + width, top + height))


def cropped_at(size: tuple[int, int], width: int, height: int, margin: int) -> tuple[int, int] | None:
    """Left and top of the middle of a picture of this size, where it is by less than `margin` larger; else None."""
    across, down = size[0] - width, size[1] - height
    return (across // 2, down // 2) if 0 <= across < margin and 0 <= down < margin else None
