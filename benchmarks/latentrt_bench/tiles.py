"""Measure what a large picture costs in the autoencoder: peak memory above the loaded model, time, and difference.

    python -m latentrt_bench.tiles /tmp/sd15 --size 2048 --half decode
    python -m latentrt_bench.tiles demo --size 1024 --half decode --compare picture.png

Each run is a process of its own. What is told is its largest resident set (`ru_maxrss`) less that with the network
loaded. `--compare` takes a picture, which goes through whole as well; told are the largest and the mean difference, in
grey levels of 255, or for latents in their own units.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import latentrt
from latentrt.pictures import images


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """The most bytes that this process had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def levels(pixels: Any) -> Any:
    """Grey levels of 255."""
    return np.round((np.clip(pixels, -1, 1) / 2 + 0.5) * 255)


def main() -> int:
    """Measure once and print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--tile", default="auto", help="auto, off or pixels")
    parser.add_argument("--half", choices=("encode", "decode"), default="decode")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compare", type=Path, metavar="PICTURE")
    args = parser.parse_args()
    tile = args.tile if args.tile in ("auto", "off") else int(args.tile)
    with latentrt.load(args.model, device=args.device, cache=False) as pipeline:
        autoencoder = pipeline.autoencoder
        side = args.size // autoencoder.factor
        if args.compare is not None:
            picture = images.resize_to(images.load_image(args.compare), args.size, args.size)
            pixels = images.to_array(picture)
            latents = autoencoder.scaled(autoencoder.encode(pixels, "off")[0])
        else:
            rng = np.random.default_rng(0)
            latents = rng.standard_normal((1, autoencoder.latent_channels, side, side)).astype(np.float32)
            pixels = np.clip(rng.standard_normal((1, 3, args.size, args.size)), -1, 1).astype(np.float32)

        def work(x: Any, how: Any) -> Any:
            return autoencoder.decode(x, how) if args.half == "decode" else autoencoder.encode(x, how)[0]

        x, unit = (latents, 1) if args.half == "decode" else (pixels, autoencoder.factor)
        work(x[:, :, : 16 * unit, : 16 * unit], "off")
        loaded = resident()
        before, started = peak(), time.perf_counter()
        result = work(x, tile)
        row = {
            "model": args.model, "half": args.half, "size": args.size, "tile": args.tile,
            "seconds": round(time.perf_counter() - started, 1),
            "loaded_gb": round(loaded / 1e9, 2),
            "peak_before_gb": round(before / 1e9, 2),
            "above_loaded_gb": round((peak() - loaded) / 1e9, 2),
        }  # fmt: skip
        if args.compare is not None:
            whole = work(x, "off")
            if args.half == "decode":
                result, whole = levels(result), levels(whole)
            difference = np.abs(result - whole)
            row |= {"max": round(float(difference.max()), 3), "mean": round(float(difference.mean()), 4)}
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
