"""Seeds on the command line: which pictures, and what noise each begins with."""

from latentrt.errors import InputError
from latentrt.painting.kinds import drawn
from latentrt.painting.program_parts import with_parts
from latentrt.painting.programs import PROGRAMS
from latentrt.painting.seeds import following
from latentrt.painting.settings import Settings


def count(settings: Settings) -> int:
    """How many pictures are asked for: of a seed, as many as `num_images` says.

    Raises:
        InputError: --count contradicts --seed.
    """
    seeds, asked = len(_seeds(settings)), settings.get("num_images")
    places = settings.get("batch_index")
    if asked is None and places is not None:
        return len(places)
    if asked is None:
        return seeds
    if seeds not in (1, asked):
        raise InputError(f"--count: expected {seeds}, one picture for each --seed, got {asked}")
    return asked


def batches(settings: Settings, *, one_stream: bool = False, low_memory: bool = False) -> list[Settings]:
    """The settings of each batch.

    Raises:
        InputError: options contradict each other, or a seed would go beyond 2⁶⁴ − 1.
    """
    pictures, batch_size = count(settings), settings.get("batch_size")
    seeds = [drawn(seed) for seed in _seeds(settings)]
    if one_stream and _counts(settings):
        raise InputError(
            f"--one-stream: {settings['like']} counts seeds up; leave it out, or say --like-part batch_seeds=one_stream"
        )
    one_stream = one_stream or settings.get("batch_index") is not None
    variation = _seeds(settings, "variation_seed")
    if not settings.get("variation_strength") and "variation_seed" in settings:
        raise InputError("--variation-seed: does nothing without --variation-strength")
    if one_stream and len(seeds) > 1:
        raise InputError(f"--one-stream: expected one --seed, got {len(seeds)}")
    if one_stream and batch_size not in (None, pictures):
        raise InputError(f"--batch-size: expected {pictures}, all pictures of one stream, got {batch_size}")
    if len(variation) > 1:
        raise InputError(f"--variation-seed: expected one seed, got {len(variation)}")
    shared: Settings = {**settings}
    for name in ("num_images", "batch_size"):
        shared.pop(name, None)  # type: ignore[misc]
    variations: list[int] = []
    if settings.get("variation_strength"):
        variations = following("variation_seed", drawn(variation[0]), pictures)
    if one_stream:
        if variations:
            shared["variation_seed"] = variations[0]
        return [{**shared, "seed": seeds[0], "num_images": pictures}]
    if len(seeds) < pictures:  # AUTOMATIC1111 counts up the one seed or the other
        seeds = seeds * pictures if variations else following("seed", seeds[0], pictures)
    # Networks that are freed after their stage are worth one stage for all pictures, not one for each batch.
    size = pictures if low_memory else min(batch_size or 1, pictures)
    made: list[Settings] = []
    for i in range(0, pictures, size):
        batch: Settings = {**shared, "seed": seeds[i : i + size]}
        batch["batch_size"] = min(batch_size or 1, len(seeds[i : i + size]))
        if variations:
            batch["variation_seed"] = variations[i : i + size]
        made.append(batch)
    return made


def _counts(settings: Settings) -> bool:
    """Whether the program that the run follows has no batch of one stream."""
    program = PROGRAMS[settings.get("like") or "diffusers"]  # type: ignore[index]  # the command line's are names
    return program is not None and with_parts(program, settings.get("like_parts") or {}).counts_seeds


def _seeds(settings: Settings, name: str = "seed") -> list[int | None]:
    """The seeds that are asked for; None is a random one."""
    seeds = settings.get(name)
    return list(seeds) if isinstance(seeds, list) else [seeds]  # type: ignore[list-item]
