"""A network is prepared: its weights are kept as wide as they are computed with, and in the order of the kernels.

They are written as wide first, or as integers, one by one. Where convolutions' are re-ordered or integers are packed,
ONNX Runtime does it once, out of the mapped file, so that only what is made anew is in memory, and saves its graph with
what it made of the weights. That has been run beside what it was made of, and gave the same bits. Else the wide weights
are what is kept, under our graph.
"""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.claim import Claim
from latentrt.engine import arena
from latentrt.engine.heap import give_back, giving_back
from latentrt.engine.interrupt import interruptible
from latentrt.engine.prepared import optimised
from latentrt.engine.prepared.entry import DATA, MODEL, Entry, write_manifest
from latentrt.engine.prepared.folder import NoRoomError, tell
from latentrt.engine.prepared.key import identity
from latentrt.engine.prepared.widened import write_widened
from latentrt.engine.providers import open_session
from latentrt.errors import InputError, ProviderError, WeightsError
from latentrt.models.voice import say
from latentrt.networks import Graph
from latentrt.networks.proto import ModelProto

Array = npt.NDArray[Any]
Options = Callable[[Path], ort.SessionOptions]  # of a session whose weights lie in a folder

_WIDENED = "widened.data"
# ONNX Runtime saves what its kernels have packed of weights, too; then they are mapped, and not in memory.
_SAVING = {
    "session.optimized_model_external_initializers_file_name": DATA,
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
}
_SIDE = 8  # of the inputs that it is tried with


def prepare(
    entry: Entry, graph: Graph, folder: Path, values: Mapping[str, ort.OrtValue], options: Options | None
) -> None:
    """Prepare a network, where there is room. What goes wrong is told, and leaves nothing.

    Args:
        entry: what it is to become.
        graph: placed; it is left as it is.
        folder: where its files are.
        values: weights that are in memory, by name.
        options: as it is loaded without being prepared, where that is what is saved; None: where it is not.
    """
    before = [identity(file) for file in entry.files]
    size, beside = needed(graph, options is not None)
    try:
        entry.cache.open()
        with Claim(entry.folder) as claim:
            if entry.is_there:
                return
            entry.cache.make_room(size, beside)
            say(
                f"preparing {entry.component}, {size / 1e9:.1f} GB in {entry.cache.root}, once; from now on it is "
                "loaded from there (--no-cache: as it is)"
            )
            claim.new.mkdir(mode=0o700)
            _make(entry, graph, folder, values, options, claim.new)
            if [identity(file) for file in entry.files] != before:
                raise WeightsError("the file of the weights was changed meanwhile")
            claim.appear()
    except FileExistsError:  # another process was faster
        pass
    except InputError:
        say(f"another process is preparing {entry.component}; this one loads it as it is")
    except (OSError, NoRoomError, ProviderError, WeightsError) as error:
        tell(f"{entry.component} is not prepared: {_said(error)}")


def needed(graph: Graph, saved: bool) -> tuple[int, int]:
    """Bytes on disk: what a prepared network takes, and what is taken besides while it is made."""
    sizes = [
        (math.prod(one.shape) * (4 if one.quantized is None else 1), len(one.shape) == 2 or one.quantized)
        for one in graph.parameters
    ]
    wide, packed = sum(size for size, _ in sizes), sum(size for size, is_matrix in sizes if is_matrix)
    return (wide + packed, wide) if saved else (wide, 0)


def _make(
    entry: Entry,
    graph: Graph,
    folder: Path,
    values: Mapping[str, ort.OrtValue],
    options: Options | None,
    new: Path,
) -> None:
    """Make all files of a prepared network in a new folder.

    Raises:
        ProviderError: ONNX Runtime does not save it, or what it saved gives other values.
        OSError: something cannot be written.
    """
    model = ModelProto()
    model.CopyFrom(graph.proto)
    if options is None:
        write_widened(model, folder, values, new / DATA)
        (new / MODEL).write_bytes(model.SerializeToString())
    else:
        write_widened(model, folder, values, new / _WIDENED)
        _save(model, graph, options, _feeds(graph, entry.shapes), new)
        (new / _WIDENED).unlink()
    write_manifest(new, entry, is_optimised=options is not None)


def _save(model: Any, graph: Graph, options: Options, feeds: Mapping[str, Array], new: Path) -> None:
    """Have ONNX Runtime save a graph over widened weights as it optimises it."""
    saving = options(new)
    saving.optimized_model_filepath = str(new / MODEL)
    for key, value in _SAVING.items():
        saving.add_session_config_entry(key, value)
    expected = _run_once(model.SerializeToString(), saving, feeds)
    saved = ModelProto()
    saved.ParseFromString((new / MODEL).read_bytes())
    optimised.check_size(saved, new / DATA)
    optimised.order(saved, graph.proto.graph)
    optimised.tell_shapes(saved, graph, {name: array.shape for name, array in feeds.items()})
    data = saved.SerializeToString()
    (new / MODEL).write_bytes(data)
    got = _run_once(data, as_optimised(options(new)), feeds)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, got, strict=True)):
        raise ProviderError("what ONNX Runtime saved gives other values than what it was made of")


def as_optimised(options: ort.SessionOptions) -> ort.SessionOptions:
    """Options of a session whose graph is optimised already."""
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _run_once(data: bytes, options: ort.SessionOptions, feeds: Mapping[str, Array]) -> list[Array]:
    """Load a graph, run it, and free it."""
    arena.share(options)
    running = ort.RunOptions()
    with giving_back():
        session = interruptible(
            lambda: open_session(data, options), lambda: options.set_load_cancellation_flag(True)
        )
    run = functools.partial(session.run, None, dict(feeds), running)
    try:
        results = interruptible(run, lambda: setattr(running, "terminate", True))
    except Exception as error:  # ONNX Runtime raises a class for each of its status codes
        raise ProviderError(str(error)) from error
    copies = [np.array(result) for result in results]
    del session, run, results
    arena.give_back()
    give_back()
    return copies


def _feeds(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Inputs as it is about to be run with, but one of each batch, and small."""
    rng, feeds, least = np.random.default_rng(0), {}, {"batch": 1, "height": _SIDE, "width": _SIDE}
    for name, value in graph.inputs.items():
        sides = (
            min(size, least[side]) if side in least else size
            for side, size in zip(value.shape, shapes[name], strict=True)
        )
        feeds[name] = np.asarray(rng.random(tuple(sides)), value.dtype)
    return feeds


def _said(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    return (str(error).strip() or type(error).__name__).splitlines()[0]
