"""Sessions made when needed: one per component, kept while the sizes stay the same, closed on demand."""

from collections.abc import Callable, Mapping
from typing import Any

from latentrt.engine.providers import Provider
from latentrt.engine.session import Session
from latentrt.models.bundle import Component
from latentrt.networks.graph import Graph, Value


class Runner:
    """Makes the session of one component and keeps it.

    Args:
        component: what to run.
        provider: where to run it.
        dtype: "fp16" or "fp32"; a component marked as fp32 only computes in fp32 whatever this says.
        low_memory: see `Session`.
    """

    def __init__(
        self, component: Component, provider: Provider, dtype: str, low_memory: bool = False
    ) -> None:
        self.component = component
        self.provider = provider
        self.dtype = "fp32" if component.fp32_only else dtype
        self.low_memory = low_memory
        self.load_seconds = 0.0
        self._session: Session | None = None
        self._rewrite: Callable[[Graph], Any] | None = None

    def session(
        self, shapes: Mapping[str, tuple[int | None, ...]], rewrite: Callable[[Graph], Any] | None = None
    ) -> Session:
        """The session for inputs of these shapes, by input name.

        Sizes are pinned, so that the provider plans for them: other sizes make another session in place of this one.
        None stands for a size that changes from run to run.

        Args:
            shapes: by input name.
            rewrite: changes the graph before the session is made, which then runs with as little memory as it can;
                another function makes another session.
        """
        session = self._session
        if (
            session is not None
            and rewrite is self._rewrite
            and session.dimensions == _free_dimensions(session.inputs, shapes)
        ):
            return session
        self.close()
        graph = self.component.graph(self.dtype)
        if rewrite is not None:
            rewrite(graph)
        self._rewrite = rewrite
        dimensions = _free_dimensions(graph.inputs, shapes)
        weights = self.component.weights
        self._session = Session(
            self.component.name,
            graph,
            weights,
            self.provider,
            self.dtype,
            dimensions,
            self.low_memory,
            frugal=rewrite is not None,
        )
        self.load_seconds += self._session.load_seconds
        return self._session

    def close(self) -> None:
        """Free the session, if there is one."""
        if self._session is not None:
            self._session.close()
            self._session = None


def _free_dimensions(
    inputs: Mapping[str, Value], shapes: Mapping[str, tuple[int | None, ...]]
) -> dict[str, int]:
    """Sizes of a graph's named dimensions, read off the shapes that its inputs will have."""
    return {
        dimension: size
        for name, shape in shapes.items()
        for dimension, size in zip(inputs[name].shape, shape, strict=True)
        if isinstance(dimension, str) and size is not None
    }
