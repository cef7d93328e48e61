"""Which port of a given graph is which of ours: by name, never by place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from latentrt.errors import GraphError
from latentrt.models.given.given_graph import GivenGraph
from latentrt.networks import Value

Usual: TypeAlias = Literal["false", "ones"]

# Network -> port of ours -> what it is called in exports. Those of a UNet that not every model has are marked.
_INPUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "text_encoder": {"input_ids": ("input_ids", "tokens")},
    "unet": {
        "sample": ("sample",),
        "timestep": ("timestep",),
        "encoder_hidden_states": ("encoder_hidden_states",),
        "text_embeds": ("text_embeds",),
        "time_ids": ("time_ids",),
        "timestep_cond": ("timestep_cond",),
    },
    "vae_encoder": {"sample": ("sample", "images")},
    "vae_decoder": {"latent_sample": ("latent_sample", "latent")},
}
_OPTIONAL = frozenset({"text_embeds", "time_ids", "timestep_cond"})
_OUTPUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "unet": {"out_sample": ("out_sample", "latent", "sample")},
    "vae_encoder": {"latent_parameters": ("latent_parameters", "latent_sample", "latent")},
    "vae_decoder": {"sample": ("sample", "images")},
}
_STATE = re.compile(r"hidden_states[._]([0-9]{1,3})")
# Further inputs that change nothing where they are given this: of every run, and of prompts that fill their row.
_USUAL: dict[str, Usual] = {"return_dict": "false", "output_attentions": "false", "attention_mask": "ones"}
_CONTROL = re.compile(r"control|conditioning_scale|down_block_.*residual|mid_block_.*residual")
_RANKS = {
    "input_ids": (2,), "sample": (4,), "latent_sample": (4,), "timestep": (0, 1), "encoder_hidden_states": (3,),
    "text_embeds": (2,), "time_ids": (2,), "timestep_cond": (2,), "attention_mask": (2,), "return_dict": (0, 1),
    "output_attentions": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Ports:
    """How a given graph is fed and read.

    Attributes:
        inputs: by our names, what the graph takes: its name, type and shape.
        outputs: by our names, its names.
        usual: by the graph's names, further inputs and what they are given.
    """

    inputs: Mapping[str, Value]
    outputs: Mapping[str, str]
    usual: Mapping[str, tuple[Value, Usual]]

    @property
    def batch(self) -> int | None:
        """How many pictures or texts the graph takes at a time, no more and no fewer; None where any number."""
        sizes = [v.shape[0] for name, v in self.inputs.items() if name != "timestep" and v.shape]
        return next((size for size in sizes if isinstance(size, int)), None)


def bind(component: str, graph: GivenGraph, xl: bool) -> Ports:
    """Find our ports in a graph.

    Args:
        component: a key of the tables above, or `text_encoder_2`.
        graph: as it was read.
        xl: it belongs to a model of SDXL's kind.

    Raises:
        GraphError: one is missing, or there is one that nothing is known to give to; the message names it.
    """
    role = "text_encoder" if component == "text_encoder_2" else component
    left = dict(graph.inputs)
    inputs: dict[str, Value] = {}
    for ours, names in _INPUTS[role].items():
        found = next((name for name in names if name in left), None)
        if found is not None:
            inputs[ours] = _checked(graph, ours, left.pop(found))
        elif ours not in _OPTIONAL:
            raise _missing(graph, component, "input", names, graph.inputs)
    if ("text_embeds" in inputs) != ("time_ids" in inputs):
        raise _missing(graph, component, "input", ("text_embeds", "time_ids"), graph.inputs)
    usual = {}
    for name, value in left.items():
        if name not in _USUAL:
            raise _unknown(graph, component, value)
        usual[name] = (_checked(graph, name, value), _USUAL[name])
    outputs = _text_outputs(graph, component, xl) if role == "text_encoder" else {}
    for ours, names in _OUTPUTS.get(role, {}).items():
        found = next((name for name in names if name in graph.outputs), None)
        if found is None:
            raise _missing(graph, component, "output", names, graph.outputs)
        outputs[ours] = found
    return Ports(inputs, outputs, usual)


def _text_outputs(graph: GivenGraph, component: str, xl: bool) -> dict[str, str]:
    """Outputs of a text encoder: an engine of ONNX Runtime's calls both the states and the pooled text so."""
    found = {name: name for name in ("last_hidden_state", "text_embeds") if name in graph.outputs}
    engine = graph.outputs.get("text_embeddings")
    if engine is not None:
        found.setdefault("text_embeds" if len(engine.shape) == 2 else "last_hidden_state", engine.name)
    if not xl:
        if "last_hidden_state" not in found:
            raise _missing(
                graph, component, "output", ("last_hidden_state", "text_embeddings"), graph.outputs
            )
        return found
    if component == "text_encoder_2" and "text_embeds" not in found:
        raise _missing(graph, component, "output", ("text_embeds", "text_embeddings"), graph.outputs)
    states = {f"hidden_states.{int(m[1])}": m[0] for m in map(_STATE.fullmatch, graph.outputs) if m}
    if engine is not None and "hidden_states" in graph.outputs:
        states = {"hidden_states.1": "hidden_states"}  # the one before the last, of however many layers
    if not states:
        raise GraphError(
            f"{graph.file}: {component} gives {', '.join(graph.outputs)}, but no hidden_states.N. A model of SDXL's "
            "kind reads the state before the last layer, which cannot be made of the last one; export it with its "
            "hidden states, as optimum does (output_hidden_states)"
        )
    return found | states


def _checked(graph: GivenGraph, ours: str, value: Value) -> Value:
    """The port, of a type that is known here and of a rank that is expected."""
    if value.dtype is None:
        raise GraphError(
            f"{graph.file}: input {value.name} has a type that numpy does not have (bfloat16 or a float of 8 bits); "
            "export it with float32 or float16 inputs"
        )
    if value.name not in graph.unranked and len(value.shape) not in _RANKS[ours]:
        raise GraphError(
            f"{graph.file}: input {value.name} has {len(value.shape)} axes; expected "
            f"{' or '.join(map(str, _RANKS[ours]))}"
        )
    return value


def _missing(
    graph: GivenGraph, component: str, kind: str, names: tuple[str, ...], there: Mapping[str, Any]
) -> GraphError:
    return GraphError(
        f"{graph.file}: is no {component} that is known here: it has no {kind} {' or '.join(names)}; it has "
        f"{', '.join(there) or 'none'}"
    )


def _unknown(graph: GivenGraph, component: str, value: Value) -> GraphError:
    if _CONTROL.search(value.name):
        return GraphError(
            f"{graph.file}: {component} wants {value.name}: a ControlNet is part of this graph, and there are none "
            "here yet; expected the UNet exported without it"
        )
    dtype = "an unknown type" if value.dtype is None else np.dtype(value.dtype).name
    return GraphError(
        f"{graph.file}: {component} wants {value.name} ({dtype}, {len(value.shape)} axes), and what to give it is "
        f"not known here; expected {', '.join(_INPUTS.get(component, _INPUTS['text_encoder']))}"
    )
