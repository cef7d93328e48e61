"""Which random numbers each picture is made from."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from latentrt.checks import count, number
from latentrt.errors import InputError
from latentrt.noise import NoiseSource, PerImage, PhiloxGenerator, TorchGenerator, Variation
from latentrt.noise.source import check_seed

GENERATORS = {"cpu": TorchGenerator, "nv": PhiloxGenerator}


@dataclass(frozen=True)
class Batch:
    """The pictures that are painted at a time.

    Attributes:
        seeds: of each picture; of one stream, the same for all.
        variations: the variation seed of each; empty where there are none.
    """

    seeds: tuple[int, ...]
    variations: tuple[int, ...] = ()


@dataclass(frozen=True)
class Seeds:
    """The seeds of a run; made by `make_seeds`.

    Attributes:
        batches: in order.
        one_stream: one stream of random numbers serves the whole batch, of which there is one then.
        rng: a key of `GENERATORS`.
        variation_strength: from 0, the seeds' own noise, to 1, that of the variation seeds.
    """

    batches: tuple[Batch, ...]
    one_stream: bool
    rng: str = "cpu"
    variation_strength: float = 0.0

    def sources(self, batch: Batch) -> tuple[NoiseSource, NoiseSource]:
        """Two sources over the same streams: plain, and with the next array blended with the variation seeds' noise."""
        generator = GENERATORS[self.rng]
        size = 1 if self.one_stream else len(batch.seeds)
        plain: list[NoiseSource] = [generator(seed) for seed in batch.seeds[:size]]
        if batch.variations:
            strength, seeds = self.variation_strength, batch.variations
            varied: list[NoiseSource] = [
                Variation(source, generator(seed), strength)
                for source, seed in zip(plain, seeds[:size], strict=True)
            ]
        else:
            varied = plain
        return (plain[0], varied[0]) if self.one_stream else (PerImage(plain), PerImage(varied))


def make_seeds(
    seed: int | Sequence[int] | None,
    num_images: int | None,
    batch_size: int | None,
    rng: str | None,
    variation_seed: int | Sequence[int] | None,
    variation_strength: float | None,
) -> Seeds:
    """Draw what was not given, and divide the rest into batches; for the arguments see `Settings`.

    Raises:
        InputError: a seed is none, counts that contradict each other, or an unknown generator.
    """
    rng = "cpu" if rng is None else rng
    if rng not in GENERATORS:
        raise InputError(f"rng: expected one of {', '.join(GENERATORS)}, got {rng!r}")
    seed = secrets.randbits(32) if seed is None else seed
    one_stream = not isinstance(seed, Sequence)
    if not isinstance(seed, Sequence):
        images = count("num_images", 1 if num_images is None else num_images)
        if batch_size not in (None, images):
            raise InputError(
                f"batch_size: one seed draws its noise for all {images} pictures at once; "
                f"give a seed for each picture to split them into batches of {batch_size}"
            )
        seeds, size = [seed] * images, images
    else:
        seeds = list(seed)
        if not seeds:
            raise InputError("seed: expected a seed, or a list of at least one; got none")
        if num_images not in (None, len(seeds)):
            raise InputError(f"num_images: expected {len(seeds)}, one for each seed, got {num_images}")
        size = count("batch_size", len(seeds) if batch_size is None else batch_size)
    seeds = [check_seed(one) for one in seeds]
    strength = number("variation_strength", 0.0 if variation_strength is None else variation_strength, 0, 1)
    variations = _variations(variation_seed, strength, len(seeds), one_stream)
    batches = tuple(
        Batch(tuple(seeds[i : i + size]), tuple(variations[i : i + size])) for i in range(0, len(seeds), size)
    )
    return Seeds(batches, one_stream, rng, strength)


def _variations(
    seed: int | Sequence[int] | None, strength: float, images: int, one_stream: bool
) -> list[int]:
    if strength == 0:
        if seed is not None:
            raise InputError("variation_seed: does nothing without variation_strength, from 0 to 1")
        return []
    seed = secrets.randbits(32) if seed is None else seed
    if not isinstance(seed, Sequence):
        return [check_seed(seed)] * images
    if one_stream or len(seed) != images:
        wanted = "one seed, as there is one stream" if one_stream else f"{images}, one for each seed"
        raise InputError(f"variation_seed: expected {wanted}, got {len(seed)}")
    return [check_seed(one) for one in seed]
