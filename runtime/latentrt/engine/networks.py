"""The networks of one model on one provider: each is loaded when it is first needed, all are freed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from latentrt.checks import DTYPES
from latentrt.engine.operators import check_operators
from latentrt.engine.prepared.folder import Cache, cache_here
from latentrt.engine.processor import processor_here
from latentrt.engine.providers import Provider, choose
from latentrt.engine.runner import Runner
from latentrt.engine.session import find_parameter
from latentrt.errors import InputError, ModelError
from latentrt.models.component import Component
from latentrt.models.model import TEXT_ENCODERS, Model
from latentrt.networks import Dtype


@dataclass(frozen=True)
class Placement:
    """Where networks run, and what they compute in.

    Attributes:
        provider: what runs them.
        dtype: what they compute in.
        low_memory: load with less memory, see `Session`; and close each network when its stage is over.
        asked: `dtype` was asked for, and is not what suits the provider.
        force: run also what there seems to be no memory for.
        cache: where networks are kept prepared; None: nowhere.
    """

    provider: Provider
    dtype: Dtype
    low_memory: bool = False
    asked: bool = False
    force: bool = False
    cache: Cache | None = None

    def dtype_of(self, component: Component) -> Dtype:
        """What one network computes in: fp32 where it is marked so, since it overflows in fp16; a given graph, its own.

        In int8 what has such a graph, which takes nearly all of the time, and the others in fp32.

        Raises:
            InputError: another was asked for than a UNet's given graph has.
        """
        if component.given is not None:
            precision = component.given.graph.precision
            if self.asked and component.name == "unet" and precision != self.dtype:
                raise InputError(
                    f"dtype: expected auto or {precision}, which {component.given.graph.file} computes in and cannot "
                    f"be changed; got {self.dtype!r}"
                )
            return precision
        if self.dtype == "int8":
            return "int8" if component.has_int8 else "fp32"
        return "fp32" if component.fp32_only else self.dtype

    def runner(self, component: Component) -> Runner:
        """What makes the sessions of one network here."""
        dtype = self.dtype_of(component)
        return Runner(component, self.provider, dtype, self.low_memory, self.streams(component), self.cache)

    def streams(self, component: Component) -> bool:
        """Whether its weights are widened in every run, see `Session`: those of what runs once for a prompt."""
        widens = self.provider.widens_weights and self.dtype_of(component) == "fp32"
        return widens and component.name in TEXT_ENCODERS


def place(
    device: str = "auto",
    dtype: str = "auto",
    low_memory: bool = False,
    force: bool = False,
    cache: bool = False,
    threads: int | None = None,
) -> Placement:
    """Where networks can run here; for the arguments see `latentrt.load`.

    Raises:
        InputError: no such device, dtype or number of threads, or a size of the cache that is none.
        ProviderError: the device was asked for and cannot be had.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    for name, value in (("low_memory", low_memory), ("force", force), ("cache", cache)):
        if not isinstance(value, bool):
            raise InputError(f"{name}: expected True or False, got {value!r}")
    provider = choose(device, threads)
    if dtype == "bf16" and not provider.has_bf16:
        raise InputError(
            f"dtype: bf16 is computed by OpenVINO alone, on processors with AVX512-BF16 or AMX, and this is "
            f"{provider.name} on {processor_here().name}; expected auto, fp16 or fp32, or int8 on device cpu"
        )
    if dtype == "int8" and not provider.has_int8:
        raise InputError(
            f"dtype: int8 is computed on the CPU provider alone, and this is {provider.name}; expected device cpu, "
            "or dtype auto, fp16 or fp32"
        )
    asked: dict[str, Dtype] = {"fp16": "fp16", "bf16": "bf16", "fp32": "fp32", "int8": "int8"}
    kept = cache_here() if cache else None
    return Placement(provider, asked.get(dtype, provider.dtype), low_memory, dtype != "auto", force, kept)


class Networks:
    """A model's networks, and those that are opened beside them.

    Attributes:
        model: whose they are.
        placement: where they run.
        runners: of the model's own, by the name of the component.
    """

    def __init__(self, model: Model, placement: Placement) -> None:
        self.model = model
        self.placement = placement
        self.runners = {name: placement.runner(component) for name, component in model.components.items()}
        self._checked: set[str] = set()
        self._beside: dict[tuple[str, Path], Runner] = {}

    def beside(self, component: Component) -> Runner:
        """The runner of a network that is not the model's own, such as a preview's; freed with the others."""
        key = component.name, component.folder
        if key not in self._beside:
            self._beside[key] = self.placement.runner(component)
        return self._beside[key]

    def check(self, *components: str) -> None:
        """Refuse, before minutes of work, a config without a graph and weights that are not whole; once for each.

        Raises:
            ModelError: a setting has no graph here, a tensor is missing or has another shape; the message names it. Or
                there is no such network, which only a model of given graphs may lack.
            ProviderError: the provider lacks operators of a given graph.
        """
        for name in components:
            runner = self._runner(name)
            if name not in self._checked:
                if (given := runner.component.given) is not None:
                    check_operators(name, given.graph, runner.provider)
                    self._checked.add(name)
                    continue
                for parameter in runner.component.graph(runner.variant()).parameters:
                    find_parameter(name, parameter, runner.component.weights)
                self._checked.add(name)

    @contextmanager
    def stage(self, component: str) -> Iterator[Runner]:
        """The runner of a stage; with `low_memory` its network is closed when the stage is over, and those beside.

        Raises:
            ModelError: there is no such network.
        """
        runner = self._runner(component)
        try:
            yield runner
        finally:
            if self.placement.low_memory:
                for loaded in (runner, *self._beside.values()):
                    loaded.close()

    def _runner(self, name: str) -> Runner:
        if name not in self.runners:
            raise ModelError(
                f"{self.model.name}: has no {name}, which encodes pictures; expected a model that has one, or txt2img"
            )
        return self.runners[name]

    @property
    def load_seconds(self) -> float:
        """Seconds that loading has taken so far, of all networks together."""
        return sum(runner.load_seconds for runner in (*self.runners.values(), *self._beside.values()))

    def close(self) -> None:
        """Free them all; what is needed again is loaded again."""
        for runner in (*self.runners.values(), *self._beside.values()):
            runner.close()
