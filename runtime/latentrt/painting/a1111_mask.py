"""Masks as AUTOMATIC1111 and Forge make them: of the picture, of the latents, and what lies under them."""

import numpy as np
from PIL import Image

from latentrt.painting.inpainting import Inpainting, fitted, part_of, refuse_unpainted, softened
from latentrt.pictures import images
from latentrt.pictures.fill import fill, holed
from latentrt.pictures.mask import Mask
from latentrt.pictures.opencv_blur import opencv_blur


def a1111_inpainting(picture: Image.Image, asked: Mask, width: int, height: int, factor: int) -> Inpainting:
    """Prepare the part of a picture that is painted; for the arguments and errors see `make_inpainting`.

    A mask of another size than the picture is blurred before it is resized, and a latent is painted where the mask,
    reduced by Pillow's bicubic filter, is half or more. Painting the whole picture, what is painted is seen wherever
    the mask has any weight, in full from half on; painting the region alone, in the mask's own share.
    """
    own = fitted(asked.image, picture.size)
    whole = asked.padding is None
    mask = softened(asked.image if whole else own, asked, opencv_blur)
    part = part_of(picture, mask, width, height, asked.padding)
    seen = part.mask.point([min(2 * level, 255) for level in range(256)]) if whole else part.mask
    latents = part.covered.resize((width // factor, height // factor), Image.Resampling.BICUBIC)
    soft = np.rint(np.asarray(latents, np.float32)[None, None] / 255)
    refuse_unpainted(soft, factor)
    hard = part.levels >= 0.5
    told = hard[:, :, ::factor, ::factor].astype(np.float32)
    shown = part.shown if asked.content == "original" else fill(part.shown, part.covered)
    layer = holed(part.picture, seen).convert("RGBA") if asked.overlay else None
    return Inpainting(part.picture, seen, part.region, images.to_array(shown), hard, told, soft, asked, layer)
