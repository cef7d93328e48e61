"""Which random numbers each picture is made from."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentrt.errors import SettingError
from latentrt.noise import NoiseSource, PerImage, PhiloxGenerator, TorchGenerator, Variation
from latentrt.painting.kinds import drawn

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
    seed: int | Sequence[int | None] | None,
    num_images: int | None = None,
    batch_size: int | None = None,
    rng: str = "cpu",
    variation_seed: int | Sequence[int | None] | None = None,
    variation_strength: float = 0.0,
) -> Seeds:
    """Draw what was not given (None), and divide the rest into batches; for the arguments see `Settings`.

    Raises:
        SettingError: counts that contradict each other.
    """
    one_stream = not isinstance(seed, Sequence)
    if not isinstance(seed, Sequence):
        size = 1 if num_images is None else num_images
        if batch_size not in (None, size):
            raise SettingError(
                "batch_size",
                f"one seed draws its noise for all {size} pictures at once; give a seed for each picture to split "
                f"them into batches of {batch_size}",
            )
        seeds = [drawn(seed)] * size
    else:
        seeds = [drawn(one) for one in seed]
        if num_images not in (None, len(seeds)):
            raise SettingError("num_images", expected=f"{len(seeds)}, one for each seed", got=num_images)
        size = len(seeds) if batch_size is None else batch_size
    variations = _variations(variation_seed, variation_strength, len(seeds), one_stream)
    batches = tuple(
        Batch(tuple(seeds[i : i + size]), tuple(variations[i : i + size])) for i in range(0, len(seeds), size)
    )
    return Seeds(batches, one_stream, rng, variation_strength)


def _variations(
    seed: int | Sequence[int | None] | None, strength: float, images: int, one_stream: bool
) -> list[int]:
    if strength == 0:
        if seed is not None:
            raise SettingError(
                "variation_seed", "does nothing without variation_strength", others=("variation_strength",)
            )
        return []
    if not isinstance(seed, Sequence):
        return [drawn(seed)] * images
    if one_stream or len(seed) != images:
        wanted = "one seed, as there is one stream" if one_stream else f"{images}, one for each seed"
        raise SettingError("variation_seed", f"expected {wanted}, got {len(seed)}")
    return [drawn(one) for one in seed]
