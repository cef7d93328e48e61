"""`latentrt info`: what a model is made of."""

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentrt.models.model import Component, Model

EXAMPLES = """\
examples:
  latentrt info demo
  latentrt info path/to/checkpoint --json
  latentrt info org/name@revision
"""

# What of each config tells most; all that are there are shown.
HIGHLIGHTS = (
    "sample_size",
    "in_channels",
    "latent_channels",
    "block_out_channels",
    "layers_per_block",
    "cross_attention_dim",
    "attention_head_dim",
    "scaling_factor",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "vocab_size",
)

# What a pipeline may hold beside its networks, and diffusers runs.
_NOT_RUN = ("safety_checker", "image_encoder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="demo, a diffusers folder, a bundle, or org/name[@revision]"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.models.bundle import open_model

    facts = describe(open_model(args.model))
    print(json.dumps(facts) if args.json else _text(facts))
    return 0


def describe(model: "Model") -> dict[str, Any]:
    """Everything shown, as plain data."""
    from latentrt.errors import InputError, ModelError
    from latentrt.painting.request import DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS
    from latentrt.samplers import resolve

    sides: dict[str, Any]
    try:
        sides = {name: model.default_side(name) for name in ("width", "height")}
    except ModelError as error:
        sides = {"width": None, "height": None, "size_error": str(error)}
    prediction_type = str(model.scheduler_config.get("prediction_type", "epsilon"))
    try:
        sampler = resolve(model.defaults.get("sampler"), model.scheduler_config, where=model.scheduler_path)
        sampler_name, prediction_type = sampler.label, sampler.prediction_type
    except (InputError, ModelError) as error:
        sampler_name = f"none ({error})"
    return {
        "name": model.name,
        "path": str(model.root),
        "kind": "diffusers folder" if model.manifest is None else "bundle",
        "pipeline": model.index.get("_class_name"),
        "scheduler": model.scheduler_config.get("_class_name"),
        "prediction_type": prediction_type,
        "defaults": {
            **sides,
            "steps": model.defaults.get("num_inference_steps", DEFAULT_STEPS),
            "guidance_scale": model.defaults.get("guidance_scale", DEFAULT_GUIDANCE_SCALE),
            "sampler": sampler_name,
        },
        "repairs": [str(repair) for repair in model.repairs],
        "not_run": [name for name in _NOT_RUN if _is_there(model.index.get(name))],
        "parameters": sum({c.folder: c.weights.num_parameters for c in model.components.values()}.values()),
        "components": {name: _component(component) for name, component in model.components.items()},
    }


def _is_there(entry: Any) -> bool:
    """Whether an entry of model_index.json names a part: ["library", "Class"], not [null, null]."""
    return isinstance(entry, list) and any(part is not None for part in entry)


def _component(component: "Component") -> dict[str, Any]:
    weights = component.weights
    return {
        "folder": component.folder.name,
        "class": component.class_name
        or component.config.get("_class_name")
        or component.config.get("architectures"),
        "graph": _graph(component),
        "parameters": weights.num_parameters,
        "dtypes": list(weights.dtypes),
        "files": {file.name: file.stat().st_size for file in weights.files},
        "weights_note": component.weights_note,
        "config": {key: component.config[key] for key in HIGHLIGHTS if component.config.get(key) is not None},
    }


def _graph(component: "Component") -> dict[str, Any]:
    """What its config makes: nodes and parameters, or why there is none."""
    from latentrt.errors import ModelError
    from latentrt.networks import Variant

    try:
        graph = component.graph(Variant())
    except ModelError as error:
        return {"error": str(error)}
    return {"nodes": sum(graph.operators.values()), "parameters": len(graph.parameters)}


def _text(facts: dict[str, Any]) -> str:
    defaults = facts["defaults"]
    size = defaults.get("size_error") or f"{defaults['width']}x{defaults['height']}"
    lines = [
        f"{facts['name']}: {facts['kind']}, {facts['pipeline']}, {facts['parameters'] / 1e6:.1f} M parameters",
        f"  path       {facts['path']}",
        f"  scheduler  {facts['scheduler']}, predicts {facts['prediction_type']}",
        f"  defaults   {size}, {defaults['steps']} steps, "
        f"guidance scale {defaults['guidance_scale']}, {defaults['sampler']}",
    ]
    lines += [f"  repaired   {repair}" for repair in facts["repairs"]]
    lines += [f"  not run    {name}: latentrt has none" for name in facts["not_run"]]
    for name, part in facts["components"].items():
        files = ", ".join(f"{file} ({size / 1e6:.1f} MB)" for file, size in part["files"].items())
        graph = part["graph"]
        written = graph.get("error") or f"{graph['nodes']} nodes, {graph['parameters']} parameters"
        note = f" ({part['weights_note']})" if part["weights_note"] else ""
        lines += [
            f"  {name}: {part['class']}, {part['parameters'] / 1e6:.2f} M parameters, {'/'.join(part['dtypes'])}",
            f"    weights  {part['folder']}: {files}{note}",
            f"    graph    {written}",
            "    config   " + ", ".join(f"{key} {_short(value)}" for key, value in part["config"].items()),
        ]
    return "\n".join(lines)


def _short(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
