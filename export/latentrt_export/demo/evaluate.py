"""The demo model's figures: autoencoder PSNR, and how many held-out prompts a painter shows rightly.

`python -m latentrt_export.demo.evaluate --backend diffusers --out figures.json --grid grid.png`
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from latentrt.files import atomic_write
from latentrt.models.demo.drawing import SIZE, render
from latentrt.models.demo.scenes import Scene, caption, sample, sample_any, sample_held_out

from .probe import is_right, look, verdict

Painter = Callable[[list[str], list[int]], list[np.ndarray]]
"""Prompts and seeds to pictures: uint8 (128, 128, 3) each."""

SEED = 2026  # of the prompts; the seed of prompt n's picture is n
NEW_PAIR_SHARE = 0.25  # of the prompts name a shape in a colour it never has in training


@dataclass(frozen=True)
class Prompt:
    """A prompt never seen in training, and the scene it names."""

    text: str
    scene: Scene
    new_pair: bool


def held_out_prompts(count: int, seed: int = SEED) -> list[Prompt]:
    """Three quarters new arrangements of familiar objects, one quarter with a new shape-colour pair."""
    rng = np.random.default_rng(seed)
    prompts = []
    for n in range(count):
        new_pair = n % round(1 / NEW_PAIR_SHARE) == 0
        scene = sample_held_out(rng, new_pair=new_pair)
        prompts.append(Prompt(caption(scene, rng), scene, new_pair))
    return prompts


def score(paint: Painter, prompts: list[Prompt], batch: int = 10) -> tuple[dict, list[np.ndarray]]:
    """Shares of prompts shown rightly, overall and by what is asked; and the pictures."""
    pictures: list[np.ndarray] = []
    for start in range(0, len(prompts), batch):
        texts = [p.text for p in prompts[start : start + batch]]
        pictures += paint(texts, list(range(start, start + len(texts))))
        print(f"evaluate  {len(pictures)} of {len(prompts)} pictures", flush=True)
    checks = [verdict(p.scene, look(x)) for p, x in zip(prompts, pictures, strict=True)]
    right = np.array([is_right(c) for c in checks])
    new = np.array([p.new_pair for p in prompts])
    alone = np.array([len(p.scene.items) == 1 for p in prompts])

    def share(mask: np.ndarray) -> float | None:
        return round(float(right[mask].mean()), 4) if mask.any() else None

    figures = {
        "prompts": len(prompts),
        "right": round(float(right.mean()), 4),
        "right_new_arrangement": share(~new),
        "right_new_pair": share(new),
        "right_one_object": share(alone),
        "right_two_objects": share(~alone),
        **{name: round(float(np.mean([c[name] for c in checks])), 4) for name in checks[0]},
        "everything": round(float(np.mean([all(c.values()) for c in checks])), 4),
        "wrong": [p.text for p, ok in zip(prompts, right, strict=True) if not ok],
    }
    return figures, pictures


def grid(prompts: list[Prompt], pictures: list[np.ndarray], path: Path, columns: int = 6) -> None:
    """The pictures with their captions below, as one PNG."""
    band = 40
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (SIZE + 24), rows * (SIZE + band + 8)), "white")
    draw = ImageDraw.Draw(sheet)
    for n, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        x, y = (n % columns) * (SIZE + 24) + 12, (n // columns) * (SIZE + band + 8) + 6
        sheet.paste(Image.fromarray(picture), (x, y))
        lines, line = [], ""
        for word in prompt.text.split():
            longer = f"{line} {word}".strip()
            if draw.textlength(longer) > SIZE + 18 and line:
                lines.append(line)
                longer = word
            line = longer
        draw.multiline_text((x - 6, y + SIZE + 2), "\n".join([*lines, line]), fill="black", spacing=1)
    # 256 colours of its own, dithered: a third of the size, and no bands in the backgrounds.
    palette = sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    picture = sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    with atomic_write(path) as file:
        picture.save(file, "PNG", optimize=True)


def diffusers_painter(folder: Path, *, steps: int, guidance_scale: float, scheduler: str = "ddim") -> Painter:
    """The model through diffusers' own pipeline, in torch, float32."""
    import diffusers
    import torch

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    classes = {
        "ddim": "DDIMScheduler",
        "euler": "EulerDiscreteScheduler",
        "dpm": "DPMSolverMultistepScheduler",
    }
    pipe.scheduler = getattr(diffusers, classes[scheduler]).from_config(pipe.scheduler.config)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu")

    def paint(texts: list[str], seeds: list[int]) -> list[np.ndarray]:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        result = pipe(texts, num_inference_steps=steps, guidance_scale=guidance_scale,
                      generator=generators, output_type="np")  # fmt: skip
        return [(x * 255).round().astype(np.uint8) for x in result.images]

    return paint


def latentrt_painter(
    model: str, *, steps: int, guidance_scale: float, dtype: str = "auto", device: str = "auto"
) -> Painter:
    """The model through this project's torch-free runtime."""
    import latentrt

    pipeline = latentrt.load(model, device=device, dtype=dtype)

    def paint(texts: list[str], seeds: list[int]) -> list[np.ndarray]:
        options = {"num_inference_steps": steps, "guidance_scale": guidance_scale}
        return [
            np.asarray(pipeline.txt2img(text, seed=seed, **options).images[0])
            for text, seed in zip(texts, seeds, strict=True)
        ]

    return paint


def autoencoder_psnr(folder: Path, count: int = 200, seed: int = SEED) -> dict[str, float]:
    """PSNR in dB over `count` unseen whole pictures; half of them are of held-out scenes."""
    import torch
    from diffusers import AutoencoderKL

    from .autoencoder import measure

    model = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    rng = np.random.default_rng(seed + 1)
    scenes = [sample(rng) if n % 2 else sample_any(rng) for n in range(count)]
    return {
        "psnr_db": round(measure(model, np.stack([render(s, rng) for s in scenes])), 2),
        "pictures": count,
    }


def ground_truth_score(count: int = 200, seed: int = SEED) -> float:
    """Share of rendered (not painted) pictures that the probe reads wholly right: its own error."""
    prompts = held_out_prompts(count, seed)
    rng = np.random.default_rng(seed + 2)
    return float(np.mean([look(render(p.scene, rng)) == p.scene for p in prompts]))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the figures and a grid of pictures."""
    parser = argparse.ArgumentParser(prog="python -m latentrt_export.demo.evaluate", description=__doc__)
    default = Path(__file__).resolve().parents[3] / "runtime" / "latentrt" / "models" / "demo"
    parser.add_argument(
        "--model", type=Path, default=default, help="diffusers folder (default: the repository's)"
    )
    parser.add_argument("--backend", choices=("latentrt", "diffusers"), default="latentrt")
    parser.add_argument("--count", type=int, default=200, help="prompts never seen in training")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument(
        "--scheduler", choices=("ddim", "euler", "dpm"), default="ddim", help="diffusers only"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the prompts")
    parser.add_argument("--out", type=Path, help="write the figures here (JSON)")
    parser.add_argument("--grid", type=Path, help="write the first 24 pictures with their prompts here (PNG)")
    args = parser.parse_args(argv)
    options = {"steps": args.steps, "guidance_scale": args.guidance_scale}
    if args.backend == "diffusers":
        paint = diffusers_painter(args.model, scheduler=args.scheduler, **options)
    else:
        paint = latentrt_painter(str(args.model), **options)
    prompts = held_out_prompts(args.count, args.seed)
    figures, pictures = score(paint, prompts)
    figures = {
        "backend": args.backend, "scheduler": args.scheduler, **options, **figures,
        "probe_on_rendered_pictures": ground_truth_score(args.count, args.seed),
        "autoencoder": autoencoder_psnr(args.model),
    }  # fmt: skip
    print(json.dumps(figures, indent=2))
    if args.out:
        with atomic_write(args.out) as file:
            file.write((json.dumps(figures, indent=2) + "\n").encode())
    if args.grid:
        grid(prompts[:24], pictures[:24], args.grid)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
