"""Draw the pictures that the benchmark passes through the demo's autoencoder: `python tools/make_scenes.py`.

Scenes that its training has not seen, half of them of held-out kinds, as one sheet.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from latentrt_export.demo.data import SIZE, render
from latentrt_export.demo.scenes import sample_any, sample_held_out

SHEET = Path(__file__).parents[1] / "benchmarks" / "latentrt_bench" / "latent_vs_pixel" / "scenes.png"
SEED = 20260101  # no seed of the training's
COLUMNS, ROWS = 8, 4


def main() -> None:
    """Draw and write."""
    rng = np.random.default_rng(SEED)
    scenes = [
        sample_held_out(rng, new_pair=n % 4 == 1) if n % 2 else sample_any(rng) for n in range(COLUMNS * ROWS)
    ]
    pictures = np.stack([render(scene, rng) for scene in scenes])
    grid = (
        pictures.reshape(ROWS, COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2).reshape(ROWS * SIZE, COLUMNS * SIZE, 3)
    )
    Image.fromarray(grid).save(SHEET, optimize=True)
    print(f"{SHEET.name}: {SHEET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
