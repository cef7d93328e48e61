"""The sessions of one network: made when needed, kept while sizes change, closed on demand."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.engine.given_session import GivenSession
from latentrt.engine.prepared.entry import Entry
from latentrt.engine.prepared.folder import Cache
from latentrt.engine.prepared.key import key_of
from latentrt.engine.prepared.making import needed
from latentrt.engine.providers import Provider
from latentrt.engine.session import Session, saves
from latentrt.errors import Fp16RangeError, NumericsError
from latentrt.models.component import Component
from latentrt.networks import Dtype, Graph, Value, Variant, compute_of
from latentrt.networks.variant import Norms

Array = npt.NDArray[Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Pinned: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]

_LEAST = 100_000_000  # bytes of weights in float32; what is smaller loads in half a second


class Overflowed(UserWarning):
    """A network overflowed in fp16, and computes in fp32 from now on; the message names it."""


class Runner:
    """Makes the sessions of one component and keeps them.

    Where it computes in fp16 and overflows, which shows in its outputs or in weights that fp16 does not hold, it
    computes in fp32 from then on.

    One session serves all sizes, of a given graph always. Where the provider plans better for sizes that it knows,
    there is one for each, and the last `Provider.pinned_sessions` are kept. Sessions of another variant of the norms,
    which are for tiles, where memory is what is saved, are not kept beside each other.

    Args:
        component: what to run.
        provider: where to run it.
        dtype: what to compute in.
        low_memory: see `Session`; and one session is kept at a time.
        streams: see `Session`.
        cache: where it is kept prepared; None: nowhere. Small networks are not, which load at once as they are.
    """

    def __init__(
        self,
        component: Component,
        provider: Provider,
        dtype: Dtype,
        low_memory: bool = False,
        streams: bool = False,
        cache: Cache | None = None,
    ) -> None:
        self.component = component
        self.provider = provider
        self.dtype = dtype
        self.low_memory = low_memory
        self.streams = streams
        self.cache = cache
        # of what is kept: its key, and what it takes on disk
        self._known: dict[Variant, tuple[str, tuple[int, int]]] = {}
        self.load_seconds = 0.0
        self._lock = threading.Lock()  # two threads that want the same session make one
        self._sessions: dict[
            tuple[Variant, Pinned], Session | GivenSession
        ] = {}  # the one used last stands last

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None, norms: Norms = "own"
    ) -> dict[str, Array]:
        """Compute outputs from inputs, by name; see `Session.run`. What is not loaded is loaded first.

        Args:
            feeds: by input name.
            outputs: names; None: all.
            norms: see `Variant`; those that tell them, or are given them, are for tiles.

        Warns:
            Overflowed: once, where it overflows in fp16.
        """
        shapes = {name: np.shape(value) for name, value in feeds.items()}
        try:
            return self.session(shapes, norms).run(feeds, outputs)
        except NumericsError:
            if compute_of(self.dtype) != "fp16" or self.component.given is not None:
                raise
        self._widen()
        return self.session(shapes, norms).run(feeds, outputs)

    def variant(self, norms: Norms = "own") -> Variant:
        """The variant of its graph that runs here."""
        return Variant(compute_of(self.dtype), norms, fused_attention=self.provider.fused_attention)

    def outputs(self, norms: Norms = "own") -> tuple[str, ...]:
        """The names of its outputs."""
        return tuple(self.component.graph(self.variant(norms)).outputs)

    def session(self, shapes: Shapes, norms: Norms = "own") -> Session | GivenSession:
        """The session for inputs of these shapes.

        Args:
            shapes: by input name.
            norms: see `Variant`; those that tell them, or are given them, are for tiles.
        """
        try:
            return self._session(shapes, norms)
        except Fp16RangeError:
            self._widen()
        return self._session(shapes, norms)

    def _session(self, shapes: Shapes, norms: Norms) -> Session | GivenSession:
        variant = self.variant(norms)
        pins = self.provider.pinned_sessions and self.component.given is None
        key = variant, tuple(shapes.items()) if pins else ()
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                session = self._make(variant, shapes)
            self._sessions[key] = session
        return session

    def _widen(self) -> None:
        """Compute in fp32 from now on."""
        with self._lock:
            if self.dtype == "fp32":  # another thread was here
                return
            self.dtype = "fp32"
            self.close()
        message = f"{self.component.name} overflows in fp16; from now on it computes in fp32"
        warnings.warn(message, Overflowed, stacklevel=4)

    @property
    def last(self) -> tuple[Shapes, Norms] | None:
        """The shapes that the session that was used last was run with, and its norms; None where none is loaded."""
        if not self._sessions:
            return None
        (variant, _), session = list(self._sessions.items())[-1]
        return None if isinstance(session, GivenSession) else (session.shapes, variant.norms)

    def close(self) -> None:
        """Free all sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _make(self, variant: Variant, shapes: Shapes) -> Session | GivenSession:
        self._make_room(variant)
        if (given := self.component.given) is not None:
            made = GivenSession(self.component.name, given, self.provider, self.low_memory)
            self.load_seconds += made.load_seconds
            return made
        graph = self.component.graph(variant)
        session = Session(
            self.component.name,
            graph,
            self.component.weights,
            self.provider,
            self.dtype,
            dimensions(graph.inputs, shapes) if self.provider.pinned_sessions else {},
            self.low_memory,
            streams=self.streams,
            entry=self._entry(variant, shapes, graph),
        )
        self.load_seconds += session.load_seconds
        return session

    def kept(self, norms: Norms = "own") -> bool | None:
        """Whether what it loads is kept prepared: it is there, or is made first (False); None: neither."""
        variant = self.variant(norms)
        entry = self._entry(variant, {}, None)
        if entry is None or self.cache is None:
            return None
        if entry.is_there:
            return True
        return False if self.cache.has_room(*self._known[variant][1]) else None

    def _entry(self, variant: Variant, shapes: Shapes, graph: Graph | None) -> Entry | None:
        """Where a variant of it is kept prepared; None: nowhere."""
        if (
            self.cache is None
            or self.component.given is not None
            or not self.provider.widens_weights
            or self.provider.pinned_sessions
            or self.dtype == "fp16"
            or self.streams
        ):
            return None
        if variant not in self._known:
            graph = self.component.graph(variant) if graph is None else graph
            saved, weights = saves(graph, self.low_memory), self.component.weights
            key = key_of(self.component.name, graph, variant, weights, saved)
            self._known[variant] = key, needed(graph, saved)
        key, (size, _) = self._known[variant]
        if size < _LEAST:
            return None
        return Entry(self.cache, key, self.component.name, self.component.weights.files, shapes)

    def _make_room(self, variant: Variant) -> None:
        """Close what is not to be kept beside a new session."""
        if self.low_memory or any(kept != variant for kept, _ in self._sessions):
            self.close()
        surplus = len(self._sessions) + 1 - max(self.provider.pinned_sessions, 1)
        for key in list(self._sessions)[:surplus]:
            self._sessions.pop(key).close()


def dimensions(inputs: Mapping[str, Value], shapes: Shapes) -> dict[str, int]:
    """Sizes of a graph's named dimensions, read off the shapes that its inputs will have."""
    return {
        dimension: size
        for name, shape in shapes.items()
        for dimension, size in zip(inputs[name].shape, shape, strict=True)
        if isinstance(dimension, str)
    }
