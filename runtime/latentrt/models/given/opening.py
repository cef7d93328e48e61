"""From a folder of given graphs to a model: what the graphs say, what configs say, and what is left to a preset."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.component import Component
from latentrt.models.families import REFINER, SD1, SD2, SD2_CONTEXT, SDXL, Family
from latentrt.models.given.given_graph import GivenGraph, read_given_graph
from latentrt.models.given.layout import Layout
from latentrt.models.given.part import GivenPart
from latentrt.models.given.ports import bind
from latentrt.models.layout import SCHEDULER_CONFIG
from latentrt.models.model import Model
from latentrt.models.published import LCM_SCHEDULER
from latentrt.models.repairs import repair_scheduler, repair_unet

# By the width of what the UNet is told of the text, and whether it is told sizes.
_FAMILIES = {(768, False): SD1, (SD2_CONTEXT, False): SD2, (2048, True): SDXL, (1280, True): REFINER}
# A folder of theirs that may hold the config of a component.
_CONFIG_FOLDERS = {
    "vae_decoder": ("vae_decoder", "vae", "vae_encoder"),
    "vae_encoder": ("vae_encoder", "vae"),
}
_REFINER_WIDTH = 1280  # of the text that SDXL's refiner is told, of one encoder alone
_ADDITION_WIDTH = 256  # addition_time_embed_dim of every published model
_OPTIMISED = frozenset(
    {"GroupNorm", "SkipGroupNorm", "NhwcConv", "BiasSplitGelu", "BiasAdd", "MultiHeadAttention"}
)


@dataclass
class _Found:
    """What is known so far, and what of it is to be told."""

    root: Path
    graphs: Mapping[str, GivenGraph]
    family: Family | None
    notes: list[str] = field(default_factory=list)

    def preset(self, what: str, missing: str, asked: str) -> Family:
        """The family that a preset is taken from; the note says so.

        Raises:
            ModelError: it is none that is known here.
        """
        if self.family is None:
            raise ModelError(
                f"{self.root}: {what} cannot be read from a graph, and there is no {missing}; nor is it of a family "
                f"that is known here by its widths ({', '.join(f.name for f in _FAMILIES.values())}). {asked}"
            )
        self.notes.append(f"no {missing}: {what} taken from {self.family.name} as published")
        return self.family


def open_given(
    root: Path,
    layout: Layout,
    index: Mapping[str, Any],
    *,
    scheduler_class: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    prediction_type: str | None = None,
) -> Model:
    """A model of given graphs.

    Args:
        root: its folder.
        layout: its graphs, as `find_layout` finds them.
        index: what `model_index.json` says; empty where there is none.
        scheduler_class: the class that the index names.
        defaults: what its maker advises.
        prediction_type: counts for whatever the files say; None: what they say.

    Raises:
        GraphError: a file is no ONNX model, or none of the kind that it should be.
        ModelError: something cannot be read from the graphs and no file says it.
    """
    graphs = {name: read_given_graph(path) for name, path in layout.files.items()}
    unet = graphs["unet"]
    xl = "text_embeds" in unet.inputs
    _check_parts(root, graphs, xl)
    parts = {name: GivenPart(graph, bind(name, graph, xl)) for name, graph in graphs.items()}
    width = unet.width("encoder_hidden_states", 2)
    family = None if width is None else _FAMILIES.get((width, xl))
    found = _Found(root, graphs, family)
    pooled = _pooled(parts) if xl else None
    components = {name: _component(found, name, parts[name], index, pooled) for name in layout.files}
    scheduler_config, repairs = repair_scheduler(
        _scheduler(found, prediction_type), scheduler_class, for_latents=not xl
    )
    unet_config, unet_repairs = (
        repair_unet(components["unet"].config) if not xl else (components["unet"].config, ())
    )
    components["unet"] = replace(components["unet"], config=unet_config)
    if family is not None and not (root / "model_index.json").is_file():
        index = {**family.index, **index}
    return Model(
        name=root.resolve().name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        defaults=defaults or {},
        repairs=repairs + unet_repairs,
        layout=_called(root, layout, index, graphs),
        pad_tokens=family.pad_tokens if family is not None else {},
        notes=tuple(found.notes),
    )


def _check_parts(root: Path, graphs: Mapping[str, GivenGraph], xl: bool) -> None:
    """Refuse a folder that lacks what every run needs; without an encoder of pictures there is txt2img."""
    needed = ("text_encoder_2" if xl else "text_encoder", "unet", "vae_decoder")
    missing = [name for name in needed if name not in graphs]
    if (
        xl
        and "text_encoder" not in graphs
        and graphs["unet"].width("encoder_hidden_states", 2) != _REFINER_WIDTH
    ):
        missing.insert(0, "text_encoder")
    if missing:
        raise ModelError(
            f"{root}: an ONNX model without {', '.join(missing)}; it has {', '.join(graphs)}. Expected a graph of "
            "each: download what is missing"
        )


def _component(
    found: _Found, name: str, part: GivenPart, index: Mapping[str, Any], pooled: int | None
) -> Component:
    folders = (found.root / folder for folder in _CONFIG_FOLDERS.get(name, (name,)))
    paths = [folder / "config.json" for folder in folders if (folder / "config.json").is_file()]
    config = read_json(paths[0]) if paths else {}
    if name.startswith("text_encoder") and isinstance(config.get("text_config"), dict):
        config = config["text_config"]
    said = _read_off(name, part, config, pooled)
    for key in said.keys() & config.keys():
        if isinstance(said[key], int) and config[key] is not None and config[key] != said[key]:
            found.notes.append(
                f"{paths[0]}: {key} is {config[key]!r}; the graph takes {said[key]}, which counts"
            )
    config = {**config, **said}
    if name == "vae_decoder" and config.get("scaling_factor") is None:
        missing = "vae_decoder/config.json" + (" with a scaling_factor" if paths else "")
        ask = f"Put a config.json with scaling_factor beside {part.graph.file}"
        config["scaling_factor"] = found.preset("the VAE's scaling factor", missing, ask).vae[
            "scaling_factor"
        ]
    entry = index.get(name)
    listed = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)
    return Component(
        name=name,
        folder=paths[0].parent if paths else part.graph.file.parent,
        config=config,
        class_name=entry[1] if listed and entry is not None else None,
        given=part,
    )


def _read_off(name: str, part: GivenPart, config: Mapping[str, Any], pooled: int | None) -> dict[str, Any]:
    """What a graph says of itself, under the names that configs have for it."""
    graph, ports = part.graph, part.ports

    def taken(ours: str, axis: int = 1) -> int | None:
        return graph.width(ports.inputs[ours].name, axis) if ours in ports.inputs else None

    def given(ours: str, axis: int = 1) -> int | None:
        return graph.width(ports.outputs[ours], axis) if ours in ports.outputs else None

    said: dict[str, Any]
    if name == "unet":
        said = {
            "in_channels": taken("sample"),
            "out_channels": given("out_sample"),
            "cross_attention_dim": taken("encoder_hidden_states", 2),
            "time_cond_proj_dim": taken("timestep_cond"),
        }
        if "timestep_cond" in ports.inputs and said["time_cond_proj_dim"] is None:
            said["time_cond_proj_dim"] = config.get("time_cond_proj_dim", 256)
        if "time_ids" in ports.inputs:
            said["addition_embed_type"] = "text_time"
            count = taken("time_ids")
            if count is None and config.get("projection_class_embeddings_input_dim") is None:
                count = 5 if said["cross_attention_dim"] == _REFINER_WIDTH else 6
            if pooled is not None and count is not None:
                each = config.get("addition_time_embed_dim") or _ADDITION_WIDTH
                said["projection_class_embeddings_input_dim"] = pooled + count * each
    elif name == "vae_decoder":
        said = {"latent_channels": taken("latent_sample")}
    elif name == "vae_encoder":
        said = {}
    else:
        states = [int(n.rpartition(".")[2]) for n in ports.outputs if n.startswith("hidden_states.")]
        engine = "hidden_states" in ports.outputs.values()  # it gives the one before the last
        said = {
            "vocab_size": graph.widths.get(ports.inputs["input_ids"].name),
            "hidden_size": graph.embeds,
            "num_hidden_layers": max(states) + int(engine) if states else None,
            "max_position_embeddings": _fixed(ports.inputs["input_ids"].shape, 1),
            "projection_dim": pooled if name == "text_encoder_2" else None,
        }
    return {key: value for key, value in said.items() if value is not None}


def _pooled(parts: Mapping[str, GivenPart]) -> int | None:
    """Width of the text in one row; optimum says of the port that gives it that it is as wide as the text is long."""
    unet, encoder = parts["unet"], parts["text_encoder_2"]
    taken = unet.graph.width(unet.ports.inputs["text_embeds"].name, 1)
    return encoder.graph.width(encoder.ports.outputs["text_embeds"], 1) if taken is None else taken


def _fixed(shape: tuple[int | str, ...], axis: int) -> int | None:
    size = shape[axis] if axis < len(shape) else ""
    return size if isinstance(size, int) else None


def _scheduler(found: _Found, prediction_type: str | None) -> dict[str, Any]:
    """The scheduler config of the folder, else the family's; with the prediction type that was asked for."""
    path = found.root / SCHEDULER_CONFIG
    if path.is_file():
        config = read_json(path)
    else:
        file = SCHEDULER_CONFIG.as_posix()
        ask = f"Put that of the model that it was exported from into {path}"
        family = found.preset("the scheduler", file, ask)
        config = dict(family.scheduler)
        if "timestep_cond" in found.graphs["unet"].inputs:
            config = dict(LCM_SCHEDULER)
        elif family is SD2 and prediction_type is None:
            raise ModelError(
                f"{found.root}: {family.name} predicts epsilon (base, Turbo) or v_prediction (the 768 models), which "
                f"cannot be read from a graph, and there is no {file}. Put that of the model that it was exported "
                "from there, or say --prediction-type"
            )
    return config if prediction_type is None else {**config, "prediction_type": prediction_type}


def _called(root: Path, layout: Layout, index: Mapping[str, Any], graphs: Mapping[str, GivenGraph]) -> str:
    """What the arrangement is called, for whoever looks."""
    if layout.name != "folders":
        return layout.name
    if re.search(r"_io(16|32)_amdgpu", root.resolve().name):
        return "folders, as AMD's"
    used = {op for graph in graphs.values() for domain, op in graph.operators if domain == "com.microsoft"}
    if used & _OPTIMISED:
        return "folders, optimised by Olive or ONNX Runtime"
    if str(index.get("_class_name")).startswith("Onnx"):
        return "folders, as diffusers' onnx branches"
    if not index:
        return "folders without model_index.json, as of OnnxStack and Amuse"
    return "folders, as optimum's"
