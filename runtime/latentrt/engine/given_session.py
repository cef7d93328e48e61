"""A given graph in ONNX Runtime, fed and read under our names, in its own types, ranks and batch."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine import arena
from latentrt.engine.interrupt import interruptible
from latentrt.engine.operators import check_operators
from latentrt.engine.providers import Provider, open_session
from latentrt.engine.session import run_native
from latentrt.errors import InputError, NumericsError, ProviderError
from latentrt.models.given.part import GivenPart
from latentrt.networks import Value

Array = npt.NDArray[Any]

_TIMESTEP = "timestep"


class TimestepRounded(UserWarning):
    """A graph that takes whole timesteps was asked between two; the message says which."""


class GivenSession:
    """A given graph, ready to run. Not safe to run from two threads at once.

    Args:
        component: its name, for messages: "unet".
        part: its graph and ports.
        provider: what runs it.
        low_memory: load with less memory, and run a little slower.

    Raises:
        ProviderError: the provider lacks operators of the graph, or refuses it.
    """

    def __init__(self, component: str, part: GivenPart, provider: Provider, low_memory: bool = False) -> None:
        started = time.perf_counter()
        self.component = component
        self.provider = provider
        self._ports = part.ports
        self._file = part.graph.file
        self._precision = part.graph.precision
        self._size = 0
        self._rounded = False
        check_operators(component, part.graph, provider)
        options = provider.session_options(part.graph.precision, low_memory)
        options.enable_mem_pattern = False  # as of `Session`: sizes change
        try:
            if provider.name == "cpu":
                arena.share(options)
            self._session: Any = interruptible(
                lambda: open_session(str(part.graph.file), options),
                lambda: options.set_load_cancellation_flag(True),
            )
        except ProviderError as error:
            raise ProviderError(f"{component}: {provider.name} refused {self._file}: {error}") from error
        self.load_seconds = time.perf_counter() - started

    @property
    def inputs(self) -> Mapping[str, Value]:
        """By our names, what the graph takes."""
        return self._ports.inputs

    @property
    def outputs(self) -> Mapping[str, str]:
        """By our names, its own."""
        return self._ports.outputs

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Compute outputs from inputs, by our names; floats come back as float32.

        A graph that takes a fixed batch runs as often as that needs; the last one is filled up, and what comes of the
        filling left out.

        Raises:
            InputError: an input is missing, unknown, or of the wrong rank or size.
            NumericsError: an output holds NaN or infinity.
            ProviderError: the provider failed, as when memory runs out.
        """
        names = list(self.outputs) if outputs is None else list(outputs)
        for missing in [name for name in self.inputs if name not in feeds]:
            raise InputError(f"{self.component}: input {missing} is missing; needs {', '.join(self.inputs)}")
        if unknown := [
            name for name in (*feeds, *names) if name not in self.inputs and name not in self.outputs
        ]:
            raise InputError(
                f"{self.component}: {self._file} has no {', '.join(unknown)}; takes {', '.join(self.inputs)}, gives "
                f"{', '.join(self.outputs)}"
            )
        batched = {name: np.asarray(value) for name, value in feeds.items() if name != _TIMESTEP}
        batch = len(next(iter(batched.values())))
        at_once = self._ports.batch or batch
        parts = []
        for start in range(0, batch, at_once):
            taken = [min(start + i, batch - 1) for i in range(at_once)]
            part = {name: value if at_once == batch else value[taken] for name, value in batched.items()}
            if _TIMESTEP in feeds:
                part[_TIMESTEP] = np.asarray(feeds[_TIMESTEP])
            parts.append(self._run(part, names, at_once))
        if len(parts) == 1 and at_once == batch:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts])[:batch] for name in names}

    def close(self) -> None:
        """Free the session and its weights; further runs fail."""
        self._session = None
        if self.provider.name == "cpu":
            arena.give_back()

    def _run(self, feeds: Mapping[str, Array], names: Sequence[str], batch: int) -> dict[str, Array]:
        fed = {
            value.name: self._timestep(feeds[name], value, batch)
            if name == _TIMESTEP
            else self._cast(name, feeds[name], value)
            for name, value in self._ports.inputs.items()
        }
        length = next((a.shape[1] for a in feeds.values() if a.ndim == 2), 1)
        for name, (value, kind) in self._ports.usual.items():
            shape = (
                (batch, length)
                if len(value.shape) == 2
                else tuple(s if isinstance(s, int) else 1 for s in value.shape)
            )
            fed[name] = np.full(shape, kind == "ones", value.dtype)
        size = sum(array.size for array in fed.values())
        shrinks, self._size = size < self._size, size
        wanted = [self._ports.outputs[name] for name in names]
        arrays = run_native(self._session, self.component, self.provider, wanted, fed, shrinks)
        results = {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}
        for name, array in results.items():
            if array.dtype.kind == "f":
                if not np.isfinite(array).all():
                    advice = (
                        "the graph computes in fp16, which may be too narrow for it: export it in fp32"
                        if self._precision == "fp16"
                        else "its weights are broken, or an input held NaN"
                    )
                    raise NumericsError(f"{self.component}.{name}: NaN or infinity came out; {advice}")
                results[name] = array.astype(np.float32, copy=False)
        return results

    def _cast(self, name: str, array: Array, value: Value) -> Array:
        unranked = not value.shape
        if not unranked and (
            len(value.shape) != array.ndim
            or any(
                isinstance(size, int) and size != got
                for size, got in zip(value.shape, array.shape, strict=True)
            )
        ):
            wanted = ", ".join(str(size) or "?" for size in value.shape)
            raise InputError(
                f"{self.component}.{name}: {self._file} is fixed at ({wanted}), got {array.shape}"
            )
        return np.asarray(array, value.dtype, order="C")

    def _timestep(self, timestep: Array, value: Value, batch: int) -> Array:
        """In the type and rank that the graph has: one number, one in a row, or one for each picture."""
        number = float(timestep)
        if value.dtype is not None and value.dtype.kind in "iu":
            whole = math.floor(number + 0.5)
            if whole != number and not self._rounded:
                self._rounded = True
                warnings.warn(
                    f"{self.component}: {self._file} takes whole timesteps; {number:g} is taken for {whole}, and "
                    "so on: the picture differs a little from that of a graph which takes fractions",
                    TimestepRounded,
                    stacklevel=2,
                )
            number = whole
        if not value.shape:
            return np.asarray(number, value.dtype)
        size, sample = value.shape[0], self._ports.inputs["sample"].shape
        if isinstance(size, int):
            return np.full(size, number, value.dtype)
        each = bool(sample) and size != "" and size == sample[0]
        return np.full(batch if each else 1, number, value.dtype)
