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
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ImageError, InputError, NumericsError
from latentrt.files import atomic_write
from latentrt.pictures.depth import from_array, from_deep_grey
from latentrt.pictures.exif import exif_of
from latentrt.pictures.icc import in_srgb
from latentrt.pictures.jpeg import with_end
from latentrt.pictures.texts import PARAMETERS, Found, texts_of

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


def load_image(source: Path | str | Image.Image | NDArray[np.generic], opaque: bool = False) -> Image.Image:
    """Read one picture and make it plain RGB, upright.

    EXIF rotation is applied. Transparent pixels are laid over white. Grey of 16 bits is scaled to 8, not clipped; of
    16-bit colours Pillow keeps the upper byte. Colours go through their ICC profile to sRGB where there is one that can
    be used and says something else than sRGB. A JPEG that lacks nothing but its last marker is read, with a warning.

    Args:
        source: a file; a Pillow picture; or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of uint8, uint16 or
            floats in [0, 1].
        opaque: transparent pixels have the colours that the file gives them, as ComfyUI reads it.

    Raises:
        ImageError: it cannot be read, has several frames or pages, or more than `MAX_PIXELS` pixels; says which.
        InputError: an array of another shape, dtype or range.
    """
    with opened(source) as (image, name):
        return to_rgb(image, name, opaque)


@contextmanager
def opened(source: Path | str | Image.Image | NDArray[np.generic]) -> Iterator[tuple[Image.Image, str]]:
    """Check a picture as `load_image` does; gives it upright but in its own mode, and what to call it."""
    if isinstance(source, np.ndarray):
        yield from_array(source), "array"
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


def to_images(pixels: NDArray[np.float32], truncated: bool = False) -> list[Image.Image]:
    """Pictures from float32 (b, 3, h, w) in [-1, 1], clipped and rounded as diffusers' `VaeImageProcessor` does.

    Args:
        pixels: as said.
        truncated: cut to whole levels instead, as AUTOMATIC1111 and ComfyUI do.

    Raises:
        InputError: another shape.
        NumericsError: NaN or infinity among the pixels.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"pixels: expected (b, 3, h, w), got {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise NumericsError("pixels: NaN or infinity")
    unit = (pixels.astype(np.float32) / 2 + np.float32(0.5)).clip(0, 1)
    levels = unit * 255 if truncated else (unit * 255).round()
    values = levels.astype(np.uint8).transpose(0, 2, 3, 1)
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
            # Pillow would write what Latin-1 has in it, which may be valid UTF-8 that says something else.
            (info.add_text if parameters.isascii() else info.add_itxt)("parameters", parameters)
        image.save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()
    exif = b"" if parameters is None else exif_of(parameters)
    if file_format == "JPEG" and len(exif) > _MAX_EXIF:
        raise InputError("the parameters are too long for a JPEG file; write .png or .webp")
    options = {"subsampling": 0} if file_format == "JPEG" else {}
    image.save(buffer, file_format, quality=95, exif=exif, **options)
    return buffer.getvalue()


def read_parameters(path: Path | str) -> str | None:
    """The text in which a picture file says how it was made, as `latentrt.recall` takes it; None where it has none.

    What several texts say together, as NovelAI's and InvokeAI's, takes `latentrt.read_text`.

    Raises:
        ImageError: as `load_image`.
    """
    with _open(Path(path)) as image, _without_warnings():
        if getattr(image, "text", {}).get("parameters") == "":
            return ""
        texts = {found.key: found.text for found in reversed(texts_of(image))}
    return next((texts[key] for key in PARAMETERS if key in texts), None)


def read_texts(path: Path | str) -> tuple[Found, ...]:
    """Every text that a picture file carries; see `latentrt.pictures.texts`.

    Raises:
        ImageError: as `load_image`.
    """
    with _open(Path(path)) as image, _without_warnings():
        return texts_of(image)


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
            whole = _decode(image, path)
            if whole is None:
                yield image
        if whole is not None:
            with Image.open(io.BytesIO(whole), formats=["JPEG"]) as image, _without_warnings():
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


def _decode(image: ImageFile.ImageFile, path: Path) -> bytes | None:
    """Decode it; gives the whole file of a JPEG that lacks nothing but its last marker, with a warning."""
    try:
        with _without_warnings():
            image.load()
        return None
    except OSError:
        whole = with_end(path.read_bytes()) if image.format == "JPEG" else None
        if whole is None:
            raise
    warnings.warn(f"{path}: lacks the marker that ends a JPEG; all its pixels are there", stacklevel=2)
    return whole


def _check(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}×{height} is too large, expected at most {MAX_PIXELS:,} pixels")
    frames = getattr(image, "n_frames", 1)
    # A phone's MPO is a JPEG with a second view or a gain map behind it; the first is the picture.
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"{name}: has {frames} frames or pages, expected a single picture")


def to_rgb(image: Image.Image, name: str, opaque: bool = False) -> Image.Image:
    """Plain RGB of what `opened` gives; see `load_image`."""
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        image = from_deep_grey(image, name)
    image = in_srgb(image, profile)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data and not opaque:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        with _without_warnings():
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that makes no sense asks for no rotation
        return image
