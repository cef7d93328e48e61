"""One network of a model on disk: where its config and its weights are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.models.given.part import GivenPart
from latentrt.models.layout import TEXT_ENCODERS
from latentrt.models.safetensors import Tensor
from latentrt.models.weight_files import find_weight_files, find_weights
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Options, Variant, build, class_of, has_int8


@dataclass(frozen=True)
class Component:
    """One network of a model: where its config and weights are.

    Attributes:
        name: of what it does in the model: a key of `networks.BUILDERS`, or `text_encoder_2`.
        folder: of its files.
        config: what its config.json says, and what diffusers makes of it.
        fp32_only: it overflows in fp16.
        class_name: what `model_index.json` calls its class; None where it names none, and the config's own counts.
        held: its tensors in a file that holds others too; None: they are in the folder.
        given: its graph, of a model that was exported elsewhere; then `config` is what is known of it.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    fp32_only: bool = False
    class_name: str | None = None
    held: Weights | None = None
    given: GivenPart | None = None

    @cached_property
    def weights(self) -> Weights:
        """The tensors of this component; headers are read once."""
        return Weights(find_weight_files(self.folder)) if self.held is None else self.held

    @property
    def where(self) -> str:
        """Where `config` comes from, for messages; of a given graph without one, the graph."""
        if self.held is not None:
            return f"{self.held.files[0]}: {self.name}"
        path = self.folder / "config.json"
        return str(path if self.given is None or path.is_file() else self.given.graph.file)

    @property
    def weights_note(self) -> str | None:
        """What there is to tell of which files were taken."""
        return find_weights(self.folder)[1] if self.held is None else None

    @property
    def options(self) -> Options:
        """The settings of `config`, to be asked for one by one; a ModelError names what cannot be."""
        return Options(self.where, self.config)

    @property
    def role(self) -> str:
        """What it does: a key of `networks.BUILDERS`."""
        return TEXT_ENCODERS[0] if self.name in TEXT_ENCODERS else self.name

    @property
    def kind(self) -> str:
        """Its class in diffusers or transformers.

        Raises:
            ModelError: it is none that has a graph here.
        """
        return class_of(self.role, self.options, self.class_name)

    def tensors(self) -> dict[str, Tensor]:
        """What it is made of, by the names of its graph; nothing of them is read.

        Raises:
            ModelError: one is missing; or as `graph`.
        """
        found = {}
        for parameter in self.graph(Variant()).parameters:
            tensor = self.weights.find(parameter.name, parameter.shape)
            if tensor is None:
                raise ModelError(f"{self.where}: tensor {parameter.name} is missing")
            found[parameter.name] = tensor
        return found

    @property
    def has_int8(self) -> bool:
        """Whether it has a graph in 8-bit integers."""
        return self.given is None and has_int8(self.role, self.config, self.class_name)

    @cached_property
    def _written(self) -> dict[Variant, Graph]:
        """Graphs that were written so far; none of them is handed out."""
        return {}

    def graph(self, variant: Variant) -> Graph:
        """What computes it, written from `config`, once; without weights. Each call gives a copy.

        Raises:
            ModelError: a setting of `config` has no graph here; the message names it. Or the graph is given.
        """
        if self.given is not None:
            raise ModelError(
                f"{self.given.graph.file}: is a graph as somebody exported it, which can be run and not written anew; "
                "expected the checkpoint that it was made from, a diffusers folder"
            )
        if variant not in self._written:
            self._written[variant] = build(self.role, self.config, variant, self.where, self.class_name)
        return self._written[variant].copy()
