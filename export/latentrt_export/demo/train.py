"""Make the demo model from nothing: text encoder, autoencoder, latents, denoiser, better decoder, folder.

Every stage resumes from its checkpoint in the run folder; a stage whose budget is spent is not trained again.
`python -m latentrt_export.demo.train --run RUN --out MODEL`
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from latentrt.claim import Claim


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentrt train-demo`."""
    parser.add_argument(
        "--run",
        dest="run_folder",
        type=Path,
        default=Path("demo-run"),
        help="folder for checkpoints and latents",
    )
    parser.add_argument("--out", type=Path, default=Path("demo-model"), help="diffusers folder to write")
    parser.add_argument("--text-steps", type=int, default=1000, help="of 64 captions")
    for name, minutes, batch in (("autoencoder", 30.0, 16), ("denoiser", 55.0, 32), ("polish", 8.0, 16)):
        parser.add_argument(f"--{name}-minutes", type=float, default=minutes, help="wall clock of this stage")
        parser.add_argument(f"--{name}-steps", type=int, help="train so many steps instead of minutes")
        parser.add_argument(f"--{name}-batch", type=int, default=batch)
    parser.add_argument("--pictures", type=int, default=24000, help="pictures whose latents are cached")
    parser.add_argument("--dtype", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    parser.add_argument("--compile", action="store_true", help="torch.compile every block: 1.5 times as fast")


def run(args: argparse.Namespace) -> int:
    """Train every stage that is not done, and write the model."""
    # Ten seconds of importing, which --help and a wrong option need not wait for.
    import torch

    from .folder import check_folder

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    check_folder(args.out)
    with contextlib.ExitStack() as held:
        for folder in (args.run_folder, args.out):  # two trainings would take each other's checkpoints
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(Claim(folder))
        _train(args)
    print(f"wrote {args.out}: measure it with python -m latentrt_export.demo.evaluate --model {args.out}")
    return 0


def _train(args: argparse.Namespace) -> None:
    from . import autoencoder, diffusion, stage, text
    from .folder import write_configs, write_text_encoder, write_unet, write_vae, write_vae_config
    from .tokenizer import load_tokenizer

    common = {"dtype": args.dtype, "seed": args.seed}
    args.run_folder.mkdir(parents=True, exist_ok=True)
    write_configs(args.out)
    tokenizer = load_tokenizer(args.out / "tokenizer")
    text_encoder = text.train(args.run_folder, tokenizer, stage.Budget(steps=args.text_steps), **common)
    write_text_encoder(args.out, text_encoder)

    budget = stage.Budget(steps=args.autoencoder_steps, minutes=args.autoencoder_minutes)
    vae = autoencoder.train(
        args.run_folder, budget, batch=args.autoencoder_batch, compiled=args.compile, **common
    )
    write_vae(args.out, vae)

    path = args.run_folder / "cache.pt"
    cache = diffusion.load_cache(path)
    if cache is None:
        cache = diffusion.make_cache(args.pictures, vae, text_encoder, tokenizer, seed=args.seed + 10)
        diffusion.save_cache(path, cache)
    write_vae_config(args.out, cache.scaling_factor)

    budget = stage.Budget(steps=args.denoiser_steps, minutes=args.denoiser_minutes)
    unet = diffusion.train(
        args.run_folder, cache, budget, batch=args.denoiser_batch, compiled=args.compile, **common
    )
    write_unet(args.out, unet)

    budget = stage.Budget(steps=args.polish_steps, minutes=args.polish_minutes)
    vae = autoencoder.train(
        args.run_folder, budget, batch=args.polish_batch, compiled=args.compile, polish=vae, **common
    )
    write_vae(args.out, vae)


def main(argv: list[str] | None = None) -> int:
    """The module's entry."""
    parser = argparse.ArgumentParser(prog="python -m latentrt_export.demo.train", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
