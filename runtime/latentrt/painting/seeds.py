"""Which random numbers each picture is made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentrt.errors import SettingError
from latentrt.noise import (
    FromBatch,
    NoiseSource,
    PerImage,
    PhiloxGenerator,
    SeedResize,
    TorchGenerator,
    Variation,
)
from latentrt.painting.kinds import MAX_SEED, drawn

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
        resized: height and width in latents of the noise that lies in the middle; None: there is none.
        delta: samplers draw from the seeds and this, where it is not 0.
        places: of the pictures in the batch whose noise is theirs; empty: they are the batch.
    """

    batches: tuple[Batch, ...]
    one_stream: bool
    rng: str = "cpu"
    variation_strength: float = 0.0
    resized: tuple[int, int] | None = None
    delta: int = 0
    places: tuple[int, ...] = ()

    def begun_at(self, seed: int) -> "Seeds":
        """As many others, from this one on: its stream, or for several pictures it and those that follow."""
        batches, first = [], seed
        for batch in self.batches:
            count = len(batch.seeds)
            seeds = (first,) * count if self.one_stream else tuple((first + i) % 2**64 for i in range(count))
            batches.append(Batch(seeds))
            first += count
        return replace(self, batches=tuple(batches), variation_strength=0.0)

    def later(self, batch: Batch) -> NoiseSource:
        """What samplers draw from where they do not go on with the stream: new generators of the seeds and `delta`."""
        return self.sources(replace(batch, seeds=tuple(seed + self.delta for seed in batch.seeds)))[0]

    def sources(self, batch: Batch) -> tuple[NoiseSource, NoiseSource]:
        """Two sources over the same streams: plain, and with the next array blended with the variation seeds' noise."""
        generator = GENERATORS[self.rng]
        size = 1 if self.one_stream else len(batch.seeds)
        plain: list[NoiseSource] = [generator(seed) for seed in batch.seeds[:size]]
        if self.resized is None:
            varied = self._varied(plain, batch)
        else:
            middles = self._varied([generator(seed) for seed in batch.seeds[:size]], batch)
            varied = [SeedResize(*pair, self.resized) for pair in zip(plain, middles, strict=True)]
        if self.places:
            varied = [FromBatch(source, self.places) for source in varied]
        return (plain[0], varied[0]) if self.one_stream else (PerImage(plain), PerImage(varied))

    def _varied(self, sources: list[NoiseSource], batch: Batch) -> list[NoiseSource]:
        """The same, each with its next array blended with the variation seed's noise, if there is one."""
        if not batch.variations:
            return sources
        generator, pairs = GENERATORS[self.rng], zip(sources, batch.variations, strict=False)
        return [Variation(source, generator(seed), self.variation_strength) for source, seed in pairs]


def make_seeds(
    seed: int | Sequence[int | None] | None,
    num_images: int | None = None,
    batch_size: int | None = None,
    rng: str = "cpu",
    variation_seed: int | Sequence[int | None] | None = None,
    variation_strength: float = 0.0,
    seed_resize: tuple[int, int] | None = None,
    eta_seed_delta: int = 0,
    batch_index: Sequence[int] | None = None,
    factor: int = 8,
    counts: bool = False,
) -> Seeds:
    """Draw what was not given (None), and divide the rest into batches; for the arguments see `Settings`.

    `factor`: pixels to a latent. `counts`: see `Program.counts_seeds`; places in a batch are of one stream.

    Raises:
        SettingError: counts that contradict each other, or a seed that would go beyond 2⁶⁴ − 1.
    """
    if counts and batch_index is None and not isinstance(seed, Sequence) and num_images is not None:
        seed, variation_seed = _counted(seed, variation_seed, variation_strength, num_images)
    one_stream = not isinstance(seed, Sequence)
    if batch_index is not None:
        _check_places(len(batch_index), one_stream, num_images, variation_strength)
        num_images = len(batch_index)
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
    resized = None if seed_resize is None else (seed_resize[1] // factor, seed_resize[0] // factor)
    return Seeds(
        batches, one_stream, rng, variation_strength, resized, eta_seed_delta, tuple(batch_index or ())
    )


def _counted(
    seed: int | None, variation_seed: int | Sequence[int | None] | None, strength: float, number: int
) -> tuple[list[int], int | Sequence[int | None] | None]:
    """As AUTOMATIC1111 has several pictures of one seed: it counts up that, or where they vary the variation seed.

    Raises:
        SettingError: a seed would go beyond 2⁶⁴ − 1.
    """
    first = drawn(seed)
    if not strength:
        return following("seed", first, number), variation_seed
    if isinstance(variation_seed, Sequence):
        return [first] * number, variation_seed
    return [first] * number, following("variation_seed", drawn(variation_seed), number)


def following(name: str, first: int, number: int) -> list[int]:
    """A seed and those that follow it.

    Raises:
        SettingError: one would go beyond 2⁶⁴ − 1; `name` is the setting.
    """
    if first + number - 1 > MAX_SEED:
        raise SettingError(name, f"{number} seeds from {first} go beyond {MAX_SEED}")
    return list(range(first, first + number))


def _check_places(places: int, one_stream: bool, images: int | None, variation_strength: float) -> None:
    """Refuse places in a batch that there is none of, or too many or few of them."""
    if not one_stream:
        raise SettingError(
            "batch_index", "is of a batch from one seed; expected one seed, no list of them", others=("seed",)
        )
    if images not in (None, places):
        raise SettingError("num_images", expected=f"{places}, one for each place of batch_index", got=images)
    if variation_strength:
        raise SettingError(
            "batch_index",
            "does not go with a variation; expected one of both",
            others=("variation_strength",),
        )


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
