"""Measure how far pictures in tiles are from the same pictures whole, over several pictures of several kinds.

    python -m latentrt_bench.tile_agreement demo
    python -m latentrt_bench.tile_agreement demo --half encode
    python -m latentrt_bench.tile_agreement path/to/model --tiles 512 --pictures photograph.jpg other.png

Prints the table of docs/measurements.md: for every kind of picture and size of tile the range over the pictures of the
largest and of the mean difference, in grey levels of 255; of encoded latents in percent of their deviation. Without
`--pictures` they are made here: what the model paints at this size and at its own, enlarged; noise whose spectrum falls
off as that of photographs does; and pictures of two different halves, which tiles have it hardest with.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import latentrt
from latentrt.pictures import images

Array = npt.NDArray[Any]

PROMPTS = (
    "a large red heart to the left of a large yellow star on a blue background",
    "a small green ring on a white background",
    "a large blue square above a small red circle on a black background",
    "a large white star on a red background",
)
SEEDS = (0, 1, 2, 3)
STEPS = 12


@dataclass
class Agreement:
    """Differences of one kind of picture with one size of tile; a pair of largest and mean for each picture."""

    kind: str
    tile: int
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def row(self, digits: int) -> str:
        """A row of the table."""
        largest, mean = zip(*self.pairs, strict=True)
        ranges = [
            f"{min(values):.{places}f} to {max(values):.{places}f}"
            for values, places in ((largest, digits), (mean, 2))
        ]
        return f"| {self.kind} | {len(self.pairs)} | {self.tile} | {ranges[0]} | {ranges[1]} |"


def spectrum(seed: int, size: int) -> Image.Image:
    """Noise whose amplitude falls off as 1/f, as that of photographs does on average, in correlated colours."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    layers = np.stack(
        [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) / frequency) for _ in range(3)]
    )
    layers /= layers.std(axis=(1, 2), keepdims=True)
    mixed = np.einsum("ij,jhw->hwi", np.asarray([[1, 0.4, 0.2], [1, 0, -0.2], [1, -0.4, 0.2]]), layers)
    return Image.fromarray(np.clip(128 + 50 * mixed, 0, 255).astype(np.uint8))


def halves(seed: int, size: int) -> Image.Image:
    """A flat half beside one of noise: no tile has the statistics of the whole."""
    picture = np.asarray(spectrum(seed, size)).copy()
    picture[:, : size // 2] = np.random.default_rng(seed).integers(0, 256, 3)
    return Image.fromarray(picture)


def made(pipeline: latentrt.Pipeline, size: int) -> Iterator[tuple[str, Image.Image]]:
    """Kind and picture."""
    for prompt, seed in zip(PROMPTS, SEEDS, strict=True):
        settings: Any = {"seed": seed, "num_inference_steps": STEPS}
        yield (
            f"painted at {size}×{size}",
            pipeline.txt2img(prompt, width=size, height=size, **settings).images[0],
        )
        small = pipeline.txt2img(prompt, **settings).images[0]
        large = small.resize((size, size), Image.Resampling.LANCZOS)
        yield f"painted at {small.width}×{small.height}, enlarged", large
        yield "noise with the spectrum of photographs", spectrum(seed, size)
        yield "half flat, half such noise", halves(seed, size)


def differences(
    pipeline: latentrt.Pipeline, picture: Image.Image, half: str, tiles: list[int]
) -> Iterator[tuple[int, float, float]]:
    """Size of tile, largest and mean difference to the whole."""
    autoencoder = pipeline.autoencoder
    pixels = images.to_array(picture)
    mean = autoencoder.encode(pixels, "off")[0]
    if half == "encode":
        for tile in tiles:
            apart = 100 * np.abs(autoencoder.encode(pixels, tile)[0] - mean) / mean.std()
            yield tile, float(apart.max()), float(apart.mean())
        return
    latents = autoencoder.scaled(mean)
    whole = _levels(autoencoder.decode(latents, "off"))
    for tile in tiles:
        apart = np.abs(_levels(autoencoder.decode(latents, tile)) - whole)
        yield tile, float(apart.max()), float(apart.mean())


def _levels(pixels: Array) -> Array:
    return np.asarray(images.to_images(pixels)[0], np.float64)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--tiles", type=int, nargs="+", default=[128, 256, 512, 768])
    parser.add_argument("--half", choices=("encode", "decode"), default="decode")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[], metavar="PICTURE")
    args = parser.parse_args()
    found: dict[tuple[str, int], Agreement] = {}
    # So that whole and tiles differ by the tiles alone; the painting is whole as well.
    with latentrt.load(args.model, device=args.device, dtype="fp32", tile="off", cache=False) as pipeline:
        given = (
            ("given", images.resize_to(images.load_image(path), args.size, args.size))
            for path in args.pictures
        )
        for kind, picture in given if args.pictures else made(pipeline, args.size):
            for tile, largest, mean in differences(pipeline, picture, args.half, args.tiles):
                one = found.setdefault((kind, tile), Agreement(kind, tile))
                one.pairs.append((largest, mean))
                print(f"{kind}, {tile}: {largest:.1f} {mean:.3f}", file=sys.stderr, flush=True)
    print("| picture | how many | tile | largest | mean |\n|---|---|---|---|---|")
    for one in sorted(found.values(), key=lambda one: (one.kind, -one.tile)):
        print(one.row(0 if args.half == "decode" else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
