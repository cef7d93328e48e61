"""One graph in ONNX Runtime: graph + weights + provider."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.engine.heap import give_back, giving_back
from latentrt.engine.interrupt import interruptible
from latentrt.engine.providers import Provider, open_session
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

_SHRINK_KEY = "memory.enable_memory_arena_shrinkage"
_FOLDER_KEY = "session.model_external_initializers_file_folder_path"  # of a model that is loaded from bytes


class Session:
    """A component, ready to run. Not safe to run from two threads at once.

    Args:
        component: its name, for messages: "unet".
        graph: parsed; it is told where its parameters lie, so that it serves one session only.
        weights: where the parameters are found by name.
        provider: what runs it.
        dtype: "fp16" or "fp32", what the graph computes in.
        dimensions: sizes of free dimensions that every run has; the provider plans for them.
        low_memory: load with less memory, and run a little slower.
        in_order: compute nodes in the graph's order. ONNX Runtime's own leaves outputs that nothing waits for to the
            end, and keeps what they are made of till then.
        streams: leave weights in the mapped file, and widen each in every run when its turn comes: a network that runs
            once for a prompt loads in a fraction of the time, and takes next to no memory.

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
        in_order: bool = False,
        streams: bool = False,
    ) -> None:
        started = time.perf_counter()
        self.component = component
        self.provider = provider
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self.dimensions = dict(dimensions or {})
        self._streams = streams
        self.shapes: dict[str, tuple[int, ...]] = {}  # of the last run's inputs
        self._size = 0  # values that the last run was given
        folder = weights.files[0].resolve().parent
        places, arrays = _place(
            component, graph.parameters, weights, folder if provider.maps_weights else None
        )
        graph.place(places)
        if provider.widens_weights and dtype == "fp32":
            take_as_stored(graph)
        options = provider.session_options(dtype, low_memory, streams)
        # A plan of memory is made for each size that comes, and its block taken beside what the first run took.
        options.enable_mem_pattern = bool(self.dimensions)
        if in_order:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        for name, size in self.dimensions.items():
            options.add_free_dimension_override_by_name(name, size)
        options.add_session_config_entry(_FOLDER_KEY, str(folder))
        # ONNX Runtime copies what is handed to it (SessionOptions::AddExternalInitializers), so nothing is kept here.
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
        data = graph.serialize()
        try:
            with giving_back():
                self._session: Any = interruptible(
                    lambda: open_session(data, options), lambda: options.set_load_cancellation_flag(True)
                )
        except ProviderError as error:
            raise ProviderError(f"{component}: {provider.name} refused {graph.name}: {error}") from error
        weights.release()
        self.load_seconds = time.perf_counter() - started

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
        # The larger run's memory goes back; or that for widened weights, which others may want meanwhile.
        shrinks = size < self._size or self._streams
        self._size = size
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
    if shrinks and provider.name == "cpu":
        options.add_run_config_entry(_SHRINK_KEY, "cpu:0")
    try:
        results: list[Array] = interruptible(
            lambda: session.run(list(names), dict(feeds), options),
            lambda: setattr(options, "terminate", True),
        )
    except Exception as error:  # ONNX Runtime raises a class for each of its status codes
        raise ProviderError(f"{component}: {provider.name} failed: {error}") from error
    return results


def _place(
    component: str, parameters: list[Parameter], weights: Weights, folder: Path | None
) -> tuple[dict[str, Place], dict[str, Array]]:
    """Where each parameter lies, by name, and arrays of those that do not lie in the folder as the graph takes them.

    None for a folder: arrays of all.
    """
    places: dict[str, Place] = {}
    arrays: dict[str, Array] = {}
    for parameter in parameters:
        tensor = find_parameter(component, parameter, weights)
        file = tensor.file.resolve()  # a model hub's cache keeps files elsewhere and links to them
        any_float = parameter.is_cast and tensor.is_float
        fits = any_float or (tensor.dtype == DTYPE_NAMES[parameter.dtype] and tensor.scale is None)
        if fits and tensor.lies_as_read and file.parent == folder:
            length = tensor.end - tensor.start
            scale = None if tensor.scale is None else weights.scale(tensor)
            places[parameter.name] = Place(tensor.dtype, file.name, tensor.start, length, scale)
        else:
            array = weights.read(tensor)
            array = _convert(component, tensor, array, array.dtype if any_float else parameter.dtype)
            places[parameter.name] = Place(DTYPE_NAMES[array.dtype])
            arrays[parameter.name] = array
    return places, arrays


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
