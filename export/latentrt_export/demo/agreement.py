"""What a way of computing costs in quality: the demo's pictures against those in fp32, and what the probe says of both.

    python -m latentrt_export.demo.agreement --dtype int8

Prints mean and worst PSNR over prompts never seen in training, the worst prompts, and the share that each way shows
rightly (`probe.py`). Without torch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentrt.checks import DTYPES
from latentrt.files import atomic_write

from .evaluate import SEED, held_out_prompts, latentrt_painter, score


def psnr(exact: np.ndarray, other: np.ndarray) -> float:
    """Of two pictures, uint8, in dB; infinite where they are equal."""
    error = float(np.mean((exact.astype(np.float64) - other) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def compare(
    model: str, dtype: str, count: int, *, steps: int = 25, guidance_scale: float = 2.0, seed: int = SEED
) -> tuple[dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]:
    """What is printed; and the pairs of pictures, in fp32 and in `dtype`, the worst first."""
    prompts = held_out_prompts(count, seed)
    shares, pictures = {}, {}
    for one in ("fp32", dtype):
        paint = latentrt_painter(model, steps=steps, guidance_scale=guidance_scale, dtype=one, device="cpu")
        figures, pictures[one] = score(paint, prompts)
        shares[one] = figures["right"]
    pairs = list(zip(pictures["fp32"], pictures[dtype], strict=True))
    found = np.array([psnr(*pair) for pair in pairs])
    order = np.argsort(found)
    told = {
        "prompts": len(prompts),
        "steps": steps,
        "psnr_mean": round(float(found.mean()), 2),
        "psnr_median": round(float(np.median(found)), 2),
        "psnr_worst": round(float(found.min()), 2),
        "below_45": int((found < 45).sum()),
        "right": shares,
        "worst": {prompts[i].text: round(float(found[i]), 2) for i in order[:8]},
    }
    return told, [pairs[i] for i in order]


def main(argv: Sequence[str] | None = None) -> int:
    """Paint, compare, print, and write the worst pairs as a grid."""
    parser = argparse.ArgumentParser(prog="python -m latentrt_export.demo.agreement", description=__doc__)
    parser.add_argument("--model", default="demo", help="that is painted with (default: demo)")
    parser.add_argument("--dtype", choices=DTYPES, default="int8")
    parser.add_argument("--count", type=int, default=200, help="prompts")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=SEED, help="of the prompts")
    parser.add_argument(
        "--grid", type=Path, help="write the worst eight here: fp32, the other, their difference eightfold"
    )
    args = parser.parse_args(argv)
    told, pairs = compare(
        args.model,
        args.dtype,
        args.count,
        steps=args.steps,
        guidance_scale=args.guidance_scale,
        seed=args.seed,
    )
    print(json.dumps(told, indent=2))
    if args.grid:
        rows = []
        for exact, other in pairs[:8]:
            difference = np.clip(128 + 8 * (other.astype(int) - exact), 0, 255).astype(np.uint8)
            rows.append(np.concatenate([exact, other, difference], axis=1))
        with atomic_write(args.grid) as file:
            Image.fromarray(np.concatenate(rows)).save(file, "PNG")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
