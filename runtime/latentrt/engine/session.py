"""One graph in ONNX Runtime: graph + weights + provider."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.engine import arena
from latentrt.engine.heap import give_back, giving_back
from latentrt.engine.interrupt import interruptible
from latentrt.engine.prepared.entry import Entry
from latentrt.engine.prepared.making import as_optimised, prepare
from latentrt.engine.providers import Provider, open_session
from latentrt.engine.quantized import in_integers
from latentrt.engine.stored import take_as_stored
from latentrt.errors import (
    Fp16RangeError,
    GraphError,
    InputError,
    NumericsError,
    ProviderError,
    WeightsError,
)
from latentrt.models.safetensors import DTYPE_NAMES, Tensor
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Parameter, Place

Array = npt.NDArray[Any]

_FEW = 0.25  # of a network's weights
_FOLDER_KEY = "session.model_external_initializers_file_folder_path"  # of a model that is loaded from bytes


class Session:
    """A component, ready to run. Not safe to run from two threads at once.

    Args:
        component: its name, for messages: "unet".
        graph: parsed; it is told where its parameters lie, so that it serves one session only.
        weights: where the parameters are found by name.
        provider: what runs it.
        dtype: what is computed in: "fp16", "fp32" or "int8" as the graph, or "bf16" of one in fp16.
        dimensions: sizes of free dimensions that every run has; the provider plans for them.
        low_memory: load with less memory, and run a little slower.
        streams: leave weights in the mapped file, and widen each in every run when its turn comes: a network that runs
            once for a prompt loads in a fraction of the time, and takes next to no memory.
        entry: where its prepared form is kept; it is made if it is not there, and loaded from there. None: nowhere.

    Attributes:
        is_prepared: it was loaded so.

    Raises:
        WeightsError: a parameter is missing or has the wrong shape.
        Fp16RangeError: it exceeds the range of fp16.
        ProviderError: the provider refuses the graph.
    """

    def __init__(
        self,
        component: str,
        graph: Graph,
        weights: Weights,
        provider: Provider,
        dtype: str,
        dimensions: Mapping[str, int] | None = None,
        low_memory: bool = False,
        streams: bool = False,
        entry: Entry | None = None,
    ) -> None:
        started = time.perf_counter()
        self.component = component
        self.provider = provider
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self.dimensions = dict(dimensions or {})
        self.shapes: dict[str, tuple[int, ...]] = {}  # of the last run's inputs
        self._size = 0  # values that the last run was given
        self.is_prepared = False
        self._load_options = dtype, not reorders(graph, low_memory), streams
        opened = None if entry is None else self._open_prepared(entry)
        if opened is None:
            opened = self._open(graph, weights, entry, low_memory)
        self._session: Any = opened
        weights.release()
        give_back()  # what was handed over and is packed by now
        self.load_seconds = time.perf_counter() - started

    def _open(self, graph: Graph, weights: Weights, entry: Entry | None, low_memory: bool) -> Any:
        """ONNX Runtime's session over the checkpoint's own files; over what is prepared of them, where that is kept."""
        provider, dtype = self.provider, self._load_options[0]
        folder = weights.files[0].resolve().parent
        places, values = _place(
            self.component, graph.parameters, weights, folder if provider.maps_weights else None
        )
        graph.place(places)
        if provider.widens_weights and dtype not in ("fp16", "bf16"):
            take_as_stored(graph)
        if entry is not None:
            prepare(entry, graph, folder, values, self._options if saves(graph, low_memory) else None)
            weights.release()
            if (opened := self._open_prepared(entry)) is not None:
                return opened
        options = self._options(folder)
        # ONNX Runtime needs them until there is a session (SessionOptions::AddExternalInitializers).
        options.add_external_initializers(list(values), list(values.values()))
        try:
            return self._load(graph.serialize(), options)
        except ProviderError as error:
            raise ProviderError(f"{self.component}: {provider.name} refused {graph.name}: {error}") from error

    def _open_prepared(self, entry: Entry) -> Any:
        """The session of what is kept there; None where there is none that loads."""
        found = entry.model()
        if found is None:
            return None
        data, is_optimised = found
        options = self._options(entry.folder)
        try:
            if is_optimised:
                opened = self._load(data, as_optimised(options), packs_anew=True)
            else:
                opened = self._load(data, options)
        except ProviderError as error:
            entry.discard(str(error).splitlines()[0])
            return None
        self.is_prepared = True
        return opened

    def _options(self, folder: Path) -> ort.SessionOptions:
        """How it is loaded, where its files lie in a folder."""
        options = self.provider.session_options(*self._load_options)
        # A plan of memory is made for each size that comes, and its block taken beside what the first run took.
        options.enable_mem_pattern = bool(self.dimensions)
        for name, size in self.dimensions.items():
            options.add_free_dimension_override_by_name(name, size)
        options.add_session_config_entry(_FOLDER_KEY, str(folder))
        return options

    def _load(self, data: bytes, options: ort.SessionOptions, packs_anew: bool = False) -> Any:
        """ONNX Runtime's session; `packs_anew`: of weights that are kept packed, which it packs before it looks."""
        if self.provider.name == "cpu":
            arena.share(options)
        with giving_back(at_once=not packs_anew):
            return interruptible(
                lambda: open_session(data, options), lambda: options.set_load_cancellation_flag(True)
            )

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Compute outputs from inputs, each cast to what the graph wants; floats come back as float32.

        An interrupt (Ctrl-C) ends the computation at the next node and is raised again.

        Raises:
            InputError: an input is missing, unknown, or of the wrong rank or size.
            NumericsError: an output holds NaN or infinity.
            ProviderError: the provider failed, as when memory runs out.
        """
        names = list(self.outputs) if outputs is None else list(outputs)
        checked = {name: self._check(name, feeds) for name in self.inputs}
        if unknown := set(feeds) - set(self.inputs):
            raise InputError(
                f"{self.component}: no such input: {', '.join(sorted(unknown))}; has {', '.join(self.inputs)}"
            )
        size = sum(array.size for array in checked.values())
        shrinks, self._size = size < self._size, size
        self.shapes = {name: array.shape for name, array in checked.items()}
        results = run_native(self._session, self.component, self.provider, names, checked, shrinks)
        arrays = {}
        for name, array in zip(names, results, strict=True):
            if array.dtype.kind == "f":
                if not np.isfinite(array).all():
                    raise NumericsError(self._overflow(name))
                array = array.astype(np.float32, copy=False)
            arrays[name] = array
        return arrays

    def close(self) -> None:
        """Free the session and its weights; further runs fail."""
        self._session = None
        if self.provider.name == "cpu":
            arena.give_back()
        give_back()

    def _check(self, name: str, feeds: Mapping[str, Array]) -> Array:
        expected = self.inputs[name]
        if name not in feeds:
            raise InputError(f"{self.component}: input {name} is missing; needs {', '.join(self.inputs)}")
        array = np.asarray(feeds[name])
        sizes = tuple(self.dimensions.get(d, d) if isinstance(d, str) else d for d in expected.shape)
        if len(sizes) != array.ndim or any(
            isinstance(size, int) and size != got for size, got in zip(sizes, array.shape, strict=True)
        ):
            wanted = ", ".join(map(str, sizes))
            raise InputError(
                f"{self.component}.{name}: expected ({wanted}) {expected.dtype}, got {array.shape} {array.dtype}"
            )
        if expected.dtype is None:
            raise GraphError(f"{self.component}.{name}: has a type that is unknown here")
        with np.errstate(
            over="ignore"
        ):  # what fp16 does not hold becomes infinity, and is noticed in the output
            return np.asarray(array, expected.dtype, order="C")

    def _overflow(self, name: str) -> str:
        half = any(value.dtype == np.float16 for value in self.outputs.values())
        advice = "compute in fp32 (dtype)" if half else "the weights are broken, or an input held NaN"
        return f"{self.component}.{name}: NaN or infinity came out; {advice}"


def reorders(graph: Graph, low_memory: bool) -> bool:
    """Whether weights of convolutions are re-ordered for the CPU's kernels, so that for a while they are there twice.

    Where they are few nothing is gained by it: a step of SDXL's UNet, 17 % of whose weights they are, takes as long.
    """
    return not low_memory and graph.convolution_share > _FEW


def saves(graph: Graph, low_memory: bool) -> bool:
    """Whether what is kept prepared is what ONNX Runtime makes of the weights: kernels re-ordered, integers packed."""
    return reorders(graph, low_memory) or (bool(graph.quantized) and not low_memory)


def run_native(
    session: Any,
    component: str,
    provider: Provider,
    names: Sequence[str],
    feeds: Mapping[str, Array],
    shrinks: bool,
) -> list[Array]:
    """What a session of ONNX Runtime gives, ended by an interrupt at its next node.

    `shrinks`: the last run was larger; on the CPU its memory goes back.

    Raises:
        ProviderError: the provider failed, as when memory runs out.
    """
    options = ort.RunOptions()
    try:
        results: list[Array] = interruptible(
            lambda: session.run(list(names), dict(feeds), options),
            lambda: setattr(options, "terminate", True),
        )
    except Exception as error:  # ONNX Runtime raises a class for each of its status codes
        raise ProviderError(f"{component}: {provider.name} failed: {error}") from error
    if provider.name != "cpu":
        return results
    # Copies: each output holds on to the block that it was computed in.
    results = [np.array(result) for result in results]
    if shrinks:
        arena.give_back()
    return results


def _place(
    component: str, parameters: list[Parameter], weights: Weights, folder: Path | None
) -> tuple[dict[str, Place], dict[str, Any]]:
    """Where each initializer lies, by name, and values of those that do not lie in the folder as the graph takes them.

    None for a folder: values of all.
    """
    places: dict[str, Place] = {}
    values: dict[str, Any] = {}

    def hand(name: str, array: Array) -> None:
        places[name] = Place(DTYPE_NAMES[array.dtype])
        values[name] = ort.OrtValue.ortvalue_from_numpy(array)

    for parameter in parameters:
        tensor = find_parameter(component, parameter, weights)
        if parameter.quantized is not None:
            for name, array in in_integers(component, parameter, weights.read(tensor)):
                hand(name, array)
            continue
        file = tensor.file.resolve()  # a model hub's cache keeps files elsewhere and links to them
        any_float = parameter.is_cast and tensor.is_float
        fits = any_float or (tensor.dtype == DTYPE_NAMES[parameter.dtype] and tensor.scale is None)
        if fits and tensor.lies_as_read and file.parent == folder:
            length = tensor.end - tensor.start
            scale = None if tensor.scale is None else weights.scale(tensor)
            places[parameter.name] = Place(tensor.dtype, file.name, tensor.start, length, scale)
        else:
            array = weights.read(tensor)
            hand(
                parameter.name,
                _convert(component, tensor, array, array.dtype if any_float else parameter.dtype),
            )
    return places, values


def find_parameter(component: str, parameter: Parameter, weights: Weights) -> Tensor:
    """The tensor of a graph's parameter; nothing of it is read.

    Raises:
        WeightsError: there is none, or of another shape.
    """
    tensor = weights.find(parameter.name, parameter.shape)
    files = ", ".join(file.name for file in weights.files)
    if tensor is None:
        raise WeightsError(f"{component}: tensor {parameter.name} is missing in {files}")
    if tensor.shape != parameter.shape:
        raise WeightsError(
            f"{component}: tensor {tensor.name} in {files} has shape {tensor.shape}; "
            f"the architecture of its config.json needs {parameter.shape}"
        )
    return tensor


def _convert(component: str, tensor: Tensor, array: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype, order="C")
    if converted.dtype == np.float16 and array.dtype != np.float16 and not np.isfinite(converted).all():
        raise Fp16RangeError(
            f"{component}: tensor {tensor.name} exceeds the range of fp16; compute in fp32 (dtype)"
        )
    return converted
