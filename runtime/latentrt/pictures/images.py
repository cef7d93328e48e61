"""Pictures in and out: files of many kinds to RGB, RGB to files that carry how they were made."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ImageError, InputError, NumericsError
from latentrt.files import atomic_write
from latentrt.pictures.exif import comment_of, exif_of

# The usual ones first: Pillow imports the rest when these do not fit. EPS and its like, which run programs, are out.
READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "PPM", "TIFF", "JPEG2000", "AVIF")
WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# The longest side that a format can hold.
MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383}
# Of an EXIF segment in a JPEG, whose length has 16 bits.
_MAX_EXIF = 65_000
# Left in it for what stands behind the prompts: settings and the model's name.
_EXIF_RESERVE = 5_000

# Pillow warns of large pictures, for which our limit is the stricter, and of tags that it passes over.
_without_warnings = partial(warnings.catch_warnings, action="ignore")


def load_image(source: Path | str | Image.Image | NDArray[np.generic]) -> Image.Image:
    """Read one picture and make it plain RGB, upright.

    EXIF rotation is applied. Transparent pixels are laid over white. Grey of 16 bits is scaled to 8, not clipped; of
    16-bit colours Pillow keeps the upper byte. CMYK goes through its ICC profile where it has one that can be used.

    Args:
        source: a file; a Pillow picture; or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of uint8, uint16 or
            floats in [0, 1].

    Raises:
        ImageError: it cannot be read, has several frames or pages, or more than `MAX_PIXELS` pixels; says which.
        InputError: an array of another shape, dtype or range.
    """
    with opened(source) as (image, name):
        return to_rgb(image, name)


@contextmanager
def opened(source: Path | str | Image.Image | NDArray[np.generic]) -> Iterator[tuple[Image.Image, str]]:
    """Check a picture as `load_image` does; gives it upright but in its own mode, and what to call it."""
    if isinstance(source, np.ndarray):
        yield _from_array(source), "array"
    elif isinstance(source, Image.Image):
        _check(source, "picture")
        yield _upright(source), "picture"
    else:
        with _open(Path(source)) as image:
            yield _upright(image), str(source)


def to_array(image: Image.Image) -> NDArray[np.float32]:
    """Pixels as float32 (1, 3, h, w) in [-1, 1]."""
    pixels = np.asarray(load_image(image), np.float32) / np.float32(255)
    return np.ascontiguousarray((2 * pixels - 1).transpose(2, 0, 1)[None])


def to_images(pixels: NDArray[np.float32]) -> list[Image.Image]:
    """Pictures from float32 (b, 3, h, w) in [-1, 1], clipped and rounded as diffusers' `VaeImageProcessor` does.

    Raises:
        InputError: another shape.
        NumericsError: NaN or infinity among the pixels.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"pixels: expected (b, 3, h, w), got {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise NumericsError("pixels: NaN or infinity")
    unit = (pixels.astype(np.float32) / 2 + np.float32(0.5)).clip(0, 1)
    values = (unit * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return [Image.fromarray(np.ascontiguousarray(value)) for value in values]


def resize_to(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize to width × height by Lanczos' filter, the proportions not kept: what diffusers does for img2img."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    row = Image.new("RGB", (width * len(pictures), height))
    for index, picture in enumerate(pictures):
        row.paste(picture, (index * width, 0))
    return row


def output_format(path: Path) -> str:
    """Pillow's name of the format that a file's suffix stands for.

    Raises:
        InputError: an unknown suffix.
    """
    if (name := WRITABLE.get(path.suffix.lower())) is None:
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(WRITABLE)}")
    return name


def check_writable(file_format: str, size: tuple[int, int] | None = None, prompts: str = "") -> None:
    """Refuse, before it is painted, a picture that its format cannot hold.

    Args:
        file_format: PNG, JPEG or WEBP.
        size: width and height, where they are known.
        prompts: the prompts that its parameters will hold.

    Raises:
        InputError: it is too large, or the prompts are too long; says what to write instead.
    """
    longest = MAX_SIDES.get(file_format)
    if size is not None and longest is not None and max(size) > longest:
        raise InputError(
            f"{size[0]}x{size[1]} is too large for a {file_format} file, whose sides are at most {longest:,}; "
            "write .png"
        )
    if file_format == "JPEG" and len(exif_of(prompts)) > _MAX_EXIF - _EXIF_RESERVE:
        raise InputError("the prompts are too long for a JPEG file; write .png or .webp")


def save_image(image: Image.Image, path: Path | str, parameters: str | None = None) -> None:
    """Write a picture, whole or not at all, in the format of the path's suffix; a file that is there is replaced.

    `parameters` goes where AUTOMATIC1111 puts it: the PNG text `parameters`, or the EXIF UserComment of JPEG and WebP.
    JPEG and WebP are written at quality 95, JPEG without chroma subsampling.

    Raises:
        InputError: unknown suffix, the format cannot hold so large a picture or so long parameters, or no file may
            take that name.
        ImageError: the picture cannot be encoded; names the path.
        OSError: it cannot be written; names the path.
    """
    path = Path(path)
    data = picture_file(image, path, parameters)
    with atomic_write(path) as file:
        file.write(data)


def picture_file(image: Image.Image, path: Path, parameters: str | None = None) -> bytes:
    """The bytes of the file that a path's suffix asks for; see `save_image`. Errors name the path."""
    file_format = output_format(path)
    try:
        return encode_image(image, file_format, parameters)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, OSError) as error:  # what Pillow's encoders raise
        raise ImageError(f"{path}: cannot be written as {file_format}: {error}") from error


def encode_image(image: Image.Image, file_format: str, parameters: str | None = None) -> bytes:
    """The bytes of a PNG, JPEG or WEBP file; see `save_image`."""
    check_writable(file_format, image.size)
    if parameters is not None:  # a folder's name on disk need not be text; in a picture it must be
        parameters = parameters.encode("utf-8", errors="replace").decode("utf-8")
    buffer = io.BytesIO()
    if file_format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        if parameters is not None:
            info.add_text("parameters", parameters)
        image.save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()
    exif = b"" if parameters is None else exif_of(parameters)
    if file_format == "JPEG" and len(exif) > _MAX_EXIF:
        raise InputError("the parameters are too long for a JPEG file; write .png or .webp")
    options = {"subsampling": 0} if file_format == "JPEG" else {}
    image.save(buffer, file_format, quality=95, exif=exif, **options)
    return buffer.getvalue()


def read_parameters(path: Path | str) -> str | None:
    """The `parameters` text that a picture file carries, by us or by AUTOMATIC1111; None where it has none.

    Raises:
        ImageError: as `load_image`.
    """
    with _open(Path(path)) as image:
        if (text := getattr(image, "text", {}).get("parameters")) is not None:
            return str(text)
        with _without_warnings():
            return comment_of(image.getexif())


@contextmanager
def _open(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file and decode it, after looking at its size and frames; all errors become ImageError."""
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if not path.is_file():
        raise ImageError(f"{path}: not a file")
    if not os.access(path, os.R_OK):
        raise ImageError(f"{path}: no permission to read it")
    try:
        with _without_warnings():
            image = Image.open(path, formats=READABLE)
        with image:
            with _without_warnings():
                _check(image, str(path))
                image.load()
            yield image
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(kind for kind in READABLE if kind != "DIB")
        raise ImageError(f"{path}: not a picture that can be read here ({kinds})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise what they like when a file is broken
        raise ImageError(f"{path}: broken or cut off: {error}") from None


def _check(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}×{height} is too large, expected at most {MAX_PIXELS:,} pixels")
    frames = getattr(image, "n_frames", 1)
    # A phone's MPO is a JPEG with a second view or a gain map behind it; the first is the picture.
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"{name}: has {frames} frames or pages, expected a single picture")


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise InputError(f"image: expected (h, w), (h, w, 3) or (h, w, 4), got {array.shape}")
    if array.dtype == np.uint16:
        array = _scale(array, 65535)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN
            raise InputError(f"image: floats are expected in [0, 1], got {array.min()} to {array.max()}")
        array = _scale(array, 1)
    elif array.dtype != np.uint8:
        raise InputError(f"image: expected uint8, uint16 or floats, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _scale(array: NDArray[np.generic], maximum: float) -> NDArray[np.uint8]:
    return (array.astype(np.float64) * (255 / maximum)).round().astype(np.uint8)


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Plain RGB of what `opened` gives; see `load_image`."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _from_deep_grey(image, name)
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a profile that cannot be used: the plain formula
        if converted is not None:
            return converted
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        with _without_warnings():
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that makes no sense asks for no rotation
        return image


def _from_deep_grey(image: Image.Image, name: str) -> Image.Image:
    """16-bit integers (modes I;16 and I) and floats in [0, 1] (mode F) as 8-bit grey, with alpha if a grey is clear."""
    values = np.asarray(image)
    maximum = 1 if image.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= maximum):
        kind = "floats in [0, 1]" if image.mode == "F" else "16-bit values"
        raise ImageError(f"{name}: expected {kind}, got {values.min()} to {values.max()}")
    grey = Image.fromarray(_scale(values, maximum))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
