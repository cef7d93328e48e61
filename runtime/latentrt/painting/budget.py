"""Memory is predicted before it is taken: what a run needs at its peak, whether that is there, and what would do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latentrt.engine import machine
from latentrt.engine.memory import Call, Peak, inputs_of, is_judged, peak
from latentrt.engine.networks import Networks
from latentrt.errors import MemoryShortageError, Remedy
from latentrt.networks.variant import Norms
from latentrt.painting.autoencoder import AUTO_TILE, Tile
from latentrt.painting.conditions import common_length
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.request import Request
from latentrt.painting.tiling import MIN_TILE, Grid
from latentrt.painting.tiny import taesd_of

_PICTURE = 30  # bytes of a pixel: of the decoded picture in float32, its copy, and the finished picture
_SHARES = (0.75, 0.5, 0.375, 0.25)  # of the size that was asked, offered in its stead


@dataclass(frozen=True)
class Plan:
    """How a run is made: as asked, or with less memory.

    Attributes:
        low_memory: see `latentrt.load`.
        tile: see `latentrt.load`; None: as the model was loaded.
        batch: at most so many pictures at a time; None: as asked.
        share: of the width and height that were asked.
    """

    low_memory: bool
    tile: Tile | None = None
    batch: int | None = None
    share: float = 1.0


def check_run(parts: Parts, passes: Sequence[Pass]) -> None:
    """Refuse a run that this machine has no memory for; nothing is loaded.

    Raises:
        MemoryShortageError: how much it takes, how much there is, and what would do.
    """
    placement = parts.networks.placement
    asked = Plan(placement.low_memory)
    _check(parts.networks, lambda plan: predict(parts, passes, plan), asked, _cheaper(parts, passes, asked))


def predict(parts: Parts, passes: Sequence[Pass], plan: Plan) -> Peak:
    """What a run takes at its peak."""
    return peak(list(_calls(parts, passes, plan)), plan.low_memory)


def check_coding(
    parts: Parts, component: str, latent_size: tuple[int, int], count: int, tile: Tile | None
) -> None:
    """Refuse to encode (`vae_encoder`) or decode (`vae_decoder`) pictures that there is no memory for.

    Args:
        parts: of the model.
        component: which half.
        latent_size: height and width of the latents.
        count: of pictures.
        tile: see `latentrt.load`; None: as it was loaded.

    Raises:
        MemoryShortageError: as `check_run`.
    """

    def predicted(plan: Plan) -> Peak:
        calls = list(_coding(parts, component, latent_size, count, plan))
        return peak(calls, plan.low_memory)

    asked = Plan(parts.networks.placement.low_memory, tile)
    tiled = _tiled(parts, latent_size, asked)
    offered = [] if tiled is None else [(tiled, Remedy(f"tile={tiled.tile}", f"--tile {tiled.tile}"))]
    _check(parts.networks, predicted, asked, offered)


def _check(
    networks: Networks, predicted: Callable[[Plan], Peak], asked: Plan, cheaper: Iterable[tuple[Plan, Remedy]]
) -> None:
    if networks.placement.force or not is_judged(networks):
        return
    free = machine.available()
    if free is None:
        return
    worst = predicted(asked)
    if worst.total <= free:
        return
    remedies: list[Remedy] = []
    for plan, remedy in cheaper:
        # What is asked together is offered where nothing does it alone; of sizes, the largest that does.
        if remedies and remedy.last:
            continue
        if (less := predicted(plan).total) <= free:
            remedies.append(replace(remedy, total=less))
            if remedy.smaller and not remedy.last:
                break
    raise MemoryShortageError(worst.component, worst.total, worst.weights, free, tuple(remedies))


def _cheaper(parts: Parts, passes: Sequence[Pass], asked: Plan) -> Iterator[tuple[Plan, Remedy]]:
    """What takes less memory, the least painful first: each alone, then together."""
    steps: list[tuple[dict[str, Any], str, str]] = []  # what is changed of the plan, in Python, as options
    tile = _tile(parts)
    if not asked.low_memory:
        steps.append(({"low_memory": True}, "low_memory=True", "--low-memory"))
    codes = taesd_of(parts, passes[-1].request) is None or any(one.encodes for one in passes)
    if codes and _tiled(parts, passes[-1].request.latent_size, asked) is not None:
        steps.append(({"tile": tile}, f"tile={tile}", f"--tile {tile}"))
    seeds = [one.request.seeds for one in passes]
    if any(len(batch.seeds) > 1 for one in seeds if not one.one_stream for batch in one.batches):
        steps.append(({"batch": 1}, "batch_size=1", "--batch-size 1"))
    for changes, words, option in steps:
        yield replace(asked, **changes), Remedy(words, option)
    if len(steps) > 1:
        yield _together(asked, steps)
    for share in _SHARES:
        width, height = _shrunk(parts, passes[0].request, share)
        if min(width, height) < MIN_TILE * parts.autoencoder.factor:
            break
        size = ({"share": share}, f"width={width}, height={height}", f"--size {width}x{height}")
        yield replace(asked, share=share), Remedy(*size[1:], smaller=True)
        kept = [step for step in steps if "tile" not in step[0] or max(width, height) > tile]
        if kept:
            plan, remedy = _together(asked, [*kept, size])
            yield plan, replace(remedy, smaller=True)


def _together(asked: Plan, steps: Sequence[tuple[dict[str, Any], str, str]]) -> tuple[Plan, Remedy]:
    plan = asked
    for changes, _, _ in steps:
        plan = replace(plan, **changes)
    words, options = ", ".join(words for _, words, _ in steps), " ".join(option for *_, option in steps)
    return plan, Remedy(words, options, last=True)


def _shrunk(parts: Parts, request: Request, share: float) -> tuple[int, int]:
    factor = parts.autoencoder.factor
    height, width = (_scaled(side, share) * factor for side in request.latent_size)
    return width, height


def _scaled(side: int, share: float) -> int:
    """A side in latents: of a smaller size a multiple of 8, which every UNet takes."""
    return side if share == 1 else max(int(side * share) // 8 * 8, 8)


def _tiled(parts: Parts, latent_size: tuple[int, int], asked: Plan) -> Plan | None:
    """The plan with smaller tiles, where these would be smaller."""
    autoencoder = parts.autoencoder
    height, width = (side * autoencoder.factor for side in latent_size)
    tiling = autoencoder.tiling(height, width, asked.tile)
    if tiling is not None or max(height, width) <= _tile(parts):
        return None
    return replace(asked, tile=_tile(parts))


def _tile(parts: Parts) -> int:
    """The side in pixels of the tiles that are offered."""
    return AUTO_TILE * parts.autoencoder.factor


def _calls(parts: Parts, passes: Sequence[Pass], plan: Plan) -> Iterator[Call]:
    """The networks of a run in their order, each with what it takes at the most."""
    before: tuple[int, int] | None = None
    count = sum(len(batch.seeds) for batch in passes[-1].request.seeds.batches)
    for one in passes:
        request, painter = one.request, one.parts or parts
        height, width = (_scaled(side, plan.share) for side in request.latent_size)
        for name in painter.networks.model.text_encoders:
            yield Call(painter.networks.runners[name], {"input_ids": (1, _tokens(painter.networks, name))})
        if one.decodes and before is not None:
            yield from _coding(parts, "vae_decoder", before, count, plan)
            yield from _coding(parts, "vae_encoder", (height, width), count, plan)
        elif request.pixels is not None:
            yield from _coding(painter, "vae_encoder", (height, width), 1, plan)
        yield _unet(painter, request, (height, width), plan)
        before = height, width
    assert before is not None  # a run has a pass
    taesd = taesd_of(parts, passes[-1].request)
    if taesd is None:
        yield from _coding(parts, "vae_decoder", before, count, plan)
    else:
        shapes = {"latent_sample": (1, parts.autoencoder.latent_channels, *before)}
        yield Call(taesd.runner, shapes, beside=_picture_bytes(parts, before, count))


def _unet(parts: Parts, request: Request, size: tuple[int, int], plan: Plan) -> Call:
    networks, batches = parts.networks, request.seeds.batches
    largest = max(len(batch.seeds) for batch in batches)
    rows = min(largest, largest if plan.batch is None else plan.batch) * request.rows
    model = networks.model
    sizes = {
        "batch": rows,
        "height": size[0],
        "width": size[1],
        "sequence": max(_tokens(networks, name) for name in model.text_encoders) * _text_rows(parts, request),
        "text_width": _pooled(networks),
        "time_ids": model.num_time_ids,
    }
    component = model.components["unet"]
    inputs = inputs_of(component, networks.placement.dtype_of(component))
    shapes = {
        name: tuple(sizes[side] if isinstance(side, str) else side for side in value.shape)
        for name, value in inputs.items()
    }
    return Call(networks.runners["unet"], shapes)


def _text_rows(parts: Parts, request: Request) -> int:
    """Of the longest prompt, or of what both are repeated to, at the most."""
    rows = request.text_rows
    counts = [
        parts.text.count_rows(texts, rows) for texts in request.texts(len(parts.text.tokenizers)).values()
    ]
    if len(counts) > 1 and request.program is not None and request.program.unequal == "repeated":
        return common_length(*counts) or max(counts)
    return max(counts)


def _tokens(networks: Networks, name: str) -> int:
    return networks.model.components[name].options.number("max_position_embeddings", 77)


def _pooled(networks: Networks) -> int:
    name = networks.model.text_encoders[-1]
    return networks.model.components[name].options.number("projection_dim", 512)


def _coding(parts: Parts, component: str, size: tuple[int, int], count: int, plan: Plan) -> Iterator[Call]:
    """One half of the autoencoder, on so many pictures one by one, whole or in tiles."""
    autoencoder, networks = parts.autoencoder, parts.networks
    height, width = (side * autoencoder.factor for side in size)
    tiling = autoencoder.tiling(height, width, plan.tile)
    rows, columns = size if tiling is None else Grid(*size, tiling).tile
    norms: tuple[Norms, ...] = ("own",) if tiling is None else ("told",)
    beside = _picture_bytes(parts, size, count)
    if component == "vae_decoder":
        shapes = {"latent_sample": (1, autoencoder.latent_channels, rows, columns)}
    else:
        channels = networks.model.components[component].options.number("in_channels", 3)
        shapes = {"sample": (1, channels, rows * autoencoder.factor, columns * autoencoder.factor)}
    for norm in norms:
        yield Call(networks.runners[component], shapes, norm, beside)


def _picture_bytes(parts: Parts, size: tuple[int, int], count: int) -> int:
    """What pictures take beside the network that gives them or takes them, of latents of that size."""
    height, width = (side * parts.autoencoder.factor for side in size)
    return _PICTURE * height * width * count
