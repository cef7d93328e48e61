"""Seeds on the command line: which pictures, and what noise each begins with."""

import argparse
from typing import TYPE_CHECKING

from latentrt.cli import arguments
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.painting.request import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--seed, --count, --batch-size, --one-stream, --rng, --variation-seed, --variation-strength."""
    parser.add_argument(
        "--seed",
        type=arguments.seeds,
        metavar="S[,S…]",
        help="the same seed paints the same picture; several paint one each (default: random, and told)",
    )
    parser.add_argument(
        "--count",
        type=arguments.count,
        metavar="N",
        help="how many pictures, of seeds S, S+1, … (default: 1, or as many as seeds)",
    )
    parser.add_argument(
        "--batch-size",
        type=arguments.natural,
        metavar="B",
        help="how many at a time, written when they are done; more is worth while on a GPU (default: 1)",
    )
    group = parser.add_argument_group("noise")
    group.add_argument(
        "--rng",
        choices=("cpu", "nv"),
        help="draw noise as torch does on the CPU (ComfyUI) or on CUDA (AUTOMATIC1111) (default: cpu)",
    )
    group.add_argument(
        "--one-stream",
        action="store_true",
        help="draw the noise of all --count pictures from the one seed S, as a batch in diffusers and ComfyUI",
    )
    group.add_argument(
        "--variation-strength",
        type=arguments.share,
        metavar="F",
        help="turn the noise of the seed so far towards that of the variation seed: 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--variation-seed",
        type=arguments.seed,
        metavar="V",
        help="of the first picture; the others have V+1, V+2, … and all have the seed S (default: random, and told)",
    )


def count(args: argparse.Namespace) -> int:
    """How many pictures are asked for.

    Raises:
        InputError: --count contradicts --seed.
    """
    seeds = 1 if args.seed is None else len(args.seed)
    if args.count is None:
        return seeds
    if seeds not in (1, args.count):
        raise InputError(f"--count: expected {seeds}, one picture for each --seed, got {args.count}")
    return int(args.count)


def batches(args: argparse.Namespace) -> "list[Settings]":
    """The settings that say the noise of each batch.

    Raises:
        InputError: options contradict each other, or a seed would go beyond 2⁶⁴ − 1.
    """
    pictures = count(args)
    seeds = [arguments.drawn(seed) for seed in args.seed or [None]]
    if not args.variation_strength and args.variation_seed is not None:
        raise InputError("--variation-seed: does nothing without --variation-strength")
    if args.one_stream and len(seeds) > 1:
        raise InputError(f"--one-stream: expected one --seed, got {len(seeds)}")
    if args.one_stream and args.batch_size not in (None, pictures):
        raise InputError(
            f"--batch-size: expected {pictures}, all pictures of one stream, got {args.batch_size}"
        )
    shared: Settings = {} if args.rng is None else {"rng": args.rng}
    variations: list[int] = []
    if args.variation_strength:
        shared["variation_strength"] = args.variation_strength
        variations = _counted("--variation-seed", arguments.drawn(args.variation_seed), pictures)
    if args.one_stream:
        if variations:
            shared["variation_seed"] = variations[0]
        return [{**shared, "seed": seeds[0], "num_images": pictures}]
    if len(seeds) < pictures:  # AUTOMATIC1111 counts up the one seed or the other
        seeds = seeds * pictures if variations else _counted("--seed", seeds[0], pictures)
    # Networks that are freed after their stage are worth one stage for all pictures, not one for each batch.
    size = pictures if args.low_memory else min(args.batch_size or 1, pictures)
    made: list[Settings] = []
    for i in range(0, pictures, size):
        batch: Settings = {**shared, "seed": seeds[i : i + size]}
        batch["batch_size"] = min(args.batch_size or 1, len(seeds[i : i + size]))
        if variations:
            batch["variation_seed"] = variations[i : i + size]
        made.append(batch)
    return made


def _counted(name: str, first: int, number: int) -> list[int]:
    if first + number - 1 > arguments.MAX_SEED:
        raise InputError(f"{name}: {number} seeds from {first} go beyond {arguments.MAX_SEED}")
    return list(range(first, first + number))
