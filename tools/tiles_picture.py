"""Show what tiles do to a picture: whole, in tiles with norms of their own, and in tiles with the whole picture's.

    python tools/tiles_picture.py docs/images/tiles.png

Below each picture stands its difference to the whole one, sixteen times as strong; figures are grey levels of 255.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import latentrt
from latentrt.painting.tiling import Grid, Tiling
from latentrt.pictures import images
from latentrt.pictures.grid import draw_grid

PROMPT = "a large red heart to the left of a large yellow star on a blue background"
SIZE, TILE, SHOWN, STRENGTHENED = 1024, 512, 288, 16


def main(out: Path) -> int:
    """Make the picture; print the differences."""
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        autoencoder = pipeline.autoencoder
        small = pipeline.txt2img(PROMPT, seed=3).images[0]
        latents = pipeline.encode(small.resize((SIZE, SIZE), Image.Resampling.LANCZOS), tile="off")
        whole = autoencoder.decode(latents, "off")
        shared = autoencoder.decode(latents, TILE)
        grid = Grid(*latents.shape[2:], Tiling.of(TILE // autoencoder.factor))
        parts = (autoencoder.decode(piece, "off") for piece in grid.cut(latents, 1))
        own = grid.join(parts, autoencoder.factor)
    levels = {name: values(pixels) for name, pixels in (("whole", whole), ("own", own), ("shared", shared))}
    columns = [
        ("whole", levels["whole"], np.zeros_like(levels["whole"])),
        (f"tiles of {TILE}, each with norms of its own", levels["own"], levels["own"] - levels["whole"]),
        (
            f"tiles of {TILE}, norms of the whole picture",
            levels["shared"],
            levels["shared"] - levels["whole"],
        ),
    ]
    for name, _, difference in columns[1:]:
        print(f"{name}: max {np.abs(difference).max():.0f}, mean {np.abs(difference).mean():.2f}")
    rows = [
        [shown(pixels) for _, pixels, _ in columns],
        [shown(128 + STRENGTHENED * difference) for _, _, difference in columns],
    ]
    labels = ["picture", f"difference, {STRENGTHENED} times"]
    draw_grid([rows], [name for name, _, _ in columns], labels, [""]).save(out, optimize=True)
    return 0


def values(pixels: np.ndarray) -> np.ndarray:
    """Grey levels (h, w, 3) of pixels (1, 3, h, w)."""
    return np.asarray(images.to_images(pixels)[0], float)


def shown(levels: np.ndarray) -> Image.Image:
    """A small picture of grey levels."""
    picture = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    return picture.resize((SHOWN, SHOWN), Image.Resampling.BOX)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
