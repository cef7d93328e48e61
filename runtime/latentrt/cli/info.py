"""`latentrt info`: what a model is made of, or what a picture says of how it was made."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from latentrt.pictures.metadata import number_text

if TYPE_CHECKING:
    from latentrt.models.component import Component
    from latentrt.models.contents import Contents
    from latentrt.models.model import Model

EXAMPLES = """\
examples:
  latentrt info demo
  latentrt info path/to/checkpoint --json
  latentrt info path/to/model.safetensors
  latentrt info org/name@revision
  latentrt info picture.png
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

_SHORT_HASH = 10  # digits of a SHA-256, as AUTOMATIC1111 shows models
_SHOWN = 100  # signs of an entry of metadata, which may hold whole workflows and pictures

# Of what is advised or follows from the model, beside size, steps, guidance scale and sampler.
_MORE_DEFAULTS = ("timesteps", "eta", "guidance_rescale", "image_guidance_scale")
# What a pipeline may hold beside its networks, and diffusers runs.
_NOT_RUN = ("safety_checker", "image_encoder", "depth_estimator", "watermarker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="demo, a .safetensors file, a diffusers folder, a bundle, ONNX graphs that others exported, or "
        "org/name[@revision]; or a picture, whose text is shown, who wrote it, and what --from makes of it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--no-hash",
        action="store_true",
        help="of a single file: leave out its SHA-256, for which all of it is read",
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.cli import picture_info
    from latentrt.models.bundle import open_part
    from latentrt.models.manifest import hash_file

    if picture_info.is_picture(args.model):
        told = picture_info.describe(args.model)
        print(json.dumps(told) if args.json else picture_info.lines(told))
        return 0
    model = open_part(args.model)
    facts = describe(model)
    if facts["file"] is not None:
        facts["file"]["sha256"] = None if args.no_hash else hash_file(model.root).sha256
    print(json.dumps(facts) if args.json else _text(facts))
    return 0


def describe(model: "Model") -> dict[str, Any]:
    """Everything shown, as plain data."""
    from latentrt.models.replacing import lacking

    prediction_type, defaults = _defaults(model)
    return {
        "name": model.name,
        "path": str(model.root),
        "kind": _kind(model),
        "family": model.family,
        "pipeline": model.index.get("_class_name"),
        "lacks": lacking(model),
        "scheduler": model.scheduler_config.get("_class_name"),
        "prediction_type": prediction_type,
        "prediction_why": model.prediction_why,
        "notes": list(model.notes),
        "defaults": defaults,
        "repairs": [str(repair) for repair in model.repairs],
        "not_run": [name for name in _NOT_RUN if _is_there(model.index.get(name))],
        "parameters": _parameters(model),
        "file": None if model.contents is None else _file(model.contents),
        "components": {name: _component(component) for name, component in model.components.items()},
    }


def _defaults(model: "Model") -> tuple[str, dict[str, Any] | None]:
    """What it predicts, and what counts where nothing is asked for; None of a file without an autoencoder."""
    from latentrt.errors import InputError, ModelError
    from latentrt.painting.advice import filled
    from latentrt.samplers import resolve

    prediction_type = str(model.scheduler_config.get("prediction_type", "epsilon"))
    if "vae_decoder" not in model.components:
        return prediction_type, None
    sides: dict[str, Any]
    try:
        sides = {name: model.default_side(name) for name in ("width", "height")}
    except ModelError as error:
        sides = {"width": None, "height": None, "size_error": str(error)}
    defaults = filled(model, {})
    try:
        sampler = resolve(defaults["sampler"], model.scheduler_config, where=model.scheduler_where)
        sampler_name, prediction_type = sampler.label, sampler.prediction_type
    except (InputError, ModelError) as error:
        sampler_name = f"none ({error})"
    return prediction_type, {
        **sides,
        "steps": defaults["num_inference_steps"] or len(defaults["timesteps"]),
        "guidance_scale": defaults["guidance_scale"],
        "sampler": sampler_name,
        **{name: defaults[name] for name in _MORE_DEFAULTS if defaults.get(name) is not None},
    }


def _kind(model: "Model") -> str:
    if model.contents is not None:
        return "single file"
    if model.layout is not None:
        return f"ONNX as given ({model.layout})"
    return "diffusers folder" if model.manifest is None else "bundle"


def _place(component: "Component") -> Any:
    """What two components have in common that are halves of one network."""
    return component.folder if component.held is None else id(component.held)


def _file(contents: "Contents") -> dict[str, Any]:
    """What lies in a single file."""
    parts = {"unet": contents.unet, "vae": contents.vae}
    parts |= {f"text encoder of {one.width}": one.tensors for one in contents.text_encoders}
    held = {name: sorted({t.dtype for t in tensors.values()}) for name, tensors in parts.items() if tensors}
    return {
        "size": contents.file.stat().st_size,
        "holds": {name: {"tensors": len(parts[name]), "dtypes": types} for name, types in held.items()},
        "markers": list(contents.markers),
        "extras": len(contents.extras),
        "unknown": list(contents.unknown),
        "metadata": dict(contents.metadata),
    }


def _is_there(entry: Any) -> bool:
    """Whether an entry of model_index.json names a part: ["library", "Class"], not [null, null]."""
    return isinstance(entry, list) and any(part is not None for part in entry)


def _parameters(model: "Model") -> int:
    """Both halves of an autoencoder may be one folder's; a given graph has its own."""
    given = [c.given.graph.num_parameters for c in model.components.values() if c.given is not None]
    folders = {_place(c): c.weights.num_parameters for c in model.components.values() if c.given is None}
    return sum(given) + sum(folders.values())


def _component(component: "Component") -> dict[str, Any]:
    from latentrt.cli import given_info

    return {
        "folder": component.folder.name if component.held is None else None,
        "class": component.class_name
        or component.config.get("_class_name")
        or component.config.get("architectures"),
        **(_weights(component) if component.given is None else given_info.facts(component.given)),
        "config": {key: component.config[key] for key in HIGHLIGHTS if component.config.get(key) is not None},
    }


def _weights(component: "Component") -> dict[str, Any]:
    weights = component.weights
    return {
        "graph": _graph(component),
        "parameters": weights.num_parameters,
        "dtypes": list(weights.dtypes),
        "files": {file.name: file.stat().st_size for file in weights.files},
        "weights_note": component.weights_note,
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
    from latentrt.cli import given_info

    lines = [
        f"{facts['name']}: {facts['kind']}, {facts['family'] or facts['pipeline']}, "
        f"{facts['parameters'] / 1e6:.1f} M parameters",
        f"  path       {facts['path']}",
        *([] if facts["lacks"] is None else [f"  lacks      {facts['lacks']}"]),
        f"  scheduler  {facts['scheduler']}, predicts {facts['prediction_type']}"
        + (f": {facts['prediction_why']}" if facts["prediction_why"] else ""),
        *([] if facts["defaults"] is None else _default_lines(facts["defaults"])),
    ]
    lines += [] if facts["file"] is None else _file_lines(facts["file"])
    lines += [f"  note       {note}" for note in facts["notes"]]
    lines += [f"  repaired   {repair}" for repair in facts["repairs"]]
    lines += [f"  not run    {name}: latentrt has none" for name in facts["not_run"]]
    for name, part in facts["components"].items():
        files = ", ".join(f"{file} ({size / 1e6:.1f} MB)" for file, size in part["files"].items())
        graph = part["graph"]
        note = f" ({part['weights_note']})" if part.get("weights_note") else ""
        if "precision" in graph:
            written = given_info.lines(graph)
        else:
            said = graph.get("error") or f"{graph['nodes']} nodes, {graph['parameters']} parameters"
            written = [f"    graph    {said}"]
        lines += [
            f"  {name}: {_short(part['class'])}, {part['parameters'] / 1e6:.2f} M parameters, "
            + "/".join(part["dtypes"]),
            *([] if part["folder"] is None else [f"    weights  {part['folder']}: {files}{note}"]),
            *written,
            "    config   " + ", ".join(f"{key} {_short(value)}" for key, value in part["config"].items()),
        ]
    return "\n".join(lines)


def _default_lines(defaults: dict[str, Any]) -> list[str]:
    """What counts where nothing is asked for, as text."""
    size = defaults.get("size_error") or f"{defaults['width']}x{defaults['height']}"
    more = [f"{name} {_short(defaults[name])}" for name in _MORE_DEFAULTS if name in defaults]
    return [
        f"  defaults   {size}, {defaults['steps']} steps, "
        f"guidance scale {number_text(defaults['guidance_scale'])}, {defaults['sampler']}",
        *[f"             {', '.join(more)}"] * bool(more),
    ]


def _file_lines(file: dict[str, Any]) -> list[str]:
    """What lies in a single file, as text."""
    holds = ", ".join(
        f"{name} ({part['tensors']} tensors, {'/'.join(part['dtypes'])})"
        for name, part in file["holds"].items()
    )
    hashed = "" if file["sha256"] is None else f", sha256 {file['sha256'][:_SHORT_HASH]}"
    lines = [
        f"  file       {file['size'] / 1e6:.1f} MB{hashed}",
        f"  holds      {holds}; {file['extras']} extras, {len(file['unknown'])} unknown",
    ]
    if file["markers"]:
        lines.append(f"  markers    {', '.join(file['markers'])}")
    if file["unknown"]:
        lines.append(
            f"  unknown    {', '.join(file['unknown'][:3])}{', …' if len(file['unknown']) > 3 else ''}"
        )
    for key, value in file["metadata"].items():
        lines.append(f"  metadata   {key}: {value[:_SHOWN]}{'…' if len(value) > _SHOWN else ''}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(_short, value))
    return number_text(value) if isinstance(value, float) else str(value)
