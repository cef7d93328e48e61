"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import importlib.resources
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.given.layout import find_layout
from latentrt.models.given.opening import open_given
from latentrt.models.layout import CHECKPOINT_FOLDERS
from latentrt.models.manifest import COMPONENTS, GRAPH_FILES, MANIFEST_NAME, read_manifest
from latentrt.models.model import ADVICE, SCHEDULER_CONFIG, TEXT_ENCODERS, Component, Model, is_xl
from latentrt.models.repairs import Repair, repair_scheduler, repair_unet
from latentrt.models.replacing import NOTHING_ELSE, Replacements, refuse_incomplete, with_replacements
from latentrt.models.single_file import open_single_file, pad_token
from latentrt.networks import Options
from latentrt.networks.options import is_finite

# What a maker may advise.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")
_ADVISED_NUMBERS = ("guidance_scale", "guidance_rescale", "image_guidance_scale", "eta")
# Pipelines whose networks are others, by how their class begins; and a folder that such a model has.
_UNSUPPORTED_PIPELINES = ("StableDiffusion3", "Flux")
_UNSUPPORTED_FOLDERS = ("transformer",)


def open_model(model: str | Path, given: Replacements = NOTHING_ELSE) -> Model:
    """Open a model by its folder or file, or the included one by the name "demo".

    Args:
        model: where it is.
        given: what counts in place of its own, or for what a single file lacks.

    Raises:
        ModelError: there is no such model, it is none, of a kind that is not supported, or not whole.
    """
    root = _find(model)
    if root.is_file():
        opened = open_single_file(root, given.prediction_type)
    else:
        opened = _open_folder(root, "demo" if model == "demo" else root.resolve().name)
        if given.prediction_type is not None:
            predicting = {**opened.scheduler_config, "prediction_type": given.prediction_type}
            opened = replace(opened, scheduler_config=predicting)
    opened = with_replacements(opened, given)
    refuse_incomplete(opened)
    if opened.contents is not None:
        pads = {name: pad_token(opened.components[name].config) for name in opened.text_encoders}
        opened = replace(opened, pad_tokens=pads)
    return opened


def _open_folder(root: Path, name: str) -> Model:
    index_path = root / "model_index.json"
    manifest = read_manifest(root) if (root / MANIFEST_NAME).is_file() else None
    layout = None if manifest is not None else find_layout(root)
    index = read_json(index_path, optional=layout is not None)
    if manifest is None and (root / "unet" / GRAPH_FILES["fp32"]).is_file():
        raise ModelError(
            f"{root}: a bundle without {MANIFEST_NAME}, which is written last, so not a whole one. Run the diffusers "
            "folder that it was made from, or make the bundle again with `latentrt export`."
        )
    _check_kind(root, index)
    if layout is not None:
        scheduler, advised = _class_in(root, index, "scheduler"), _read_defaults(root / ADVICE)
        return open_given(root, layout, index, scheduler_class=scheduler, defaults=advised)
    unet = _read_config(root, "unet", index)
    unet_repairs: tuple[Repair, ...] = ()
    xl = is_xl(unet)
    if not xl:
        unet, unet_repairs = repair_unet(unet)
    encoders = [name for name in TEXT_ENCODERS if _has_encoder(root, index, name, xl)]
    components: dict[str, Component] = {}
    parts = (*encoders, *COMPONENTS)
    if manifest is not None and set(manifest.components) != set(parts):
        raise ModelError(
            f"{root / MANIFEST_NAME}: has the components {', '.join(manifest.components)}; model_index.json and "
            f"the UNet's config.json say {', '.join(parts)}"
        )
    for part in parts:
        key = CHECKPOINT_FOLDERS.get(part, part)
        folder = part if manifest is not None else key
        config = unet if part == "unet" else _read_config(root, folder, index)
        if part in encoders and isinstance(config.get("text_config"), dict):
            config = config["text_config"]  # of a whole CLIP, as transformers reads it
        fp32_only = manifest is not None and manifest.components[part].fp32_only
        if key == "vae" and xl and config.get("force_upcast", True) is not False:
            fp32_only = True
        components[part] = Component(part, root / folder, config, fp32_only, _class_in(root, index, key))
    scheduler_config, scheduler_repairs = repair_scheduler(
        read_json(root / SCHEDULER_CONFIG),
        _class_in(root, index, "scheduler"),
        for_latents=not xl and not _edits(unet, components["vae_decoder"].config),
    )
    return Model(
        name=name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        manifest=manifest,
        defaults=_read_defaults(root / ADVICE),
        repairs=scheduler_repairs + unet_repairs,
    )


def _read_config(root: Path, folder: str, index: Mapping[str, Any]) -> dict[str, Any]:
    path = root / folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{root}: has no {folder}/config.json; expected the folders of a Stable Diffusion or SDXL model "
            f"(text_encoder, unet, vae, tokenizer, scheduler). Its pipeline is {index.get('_class_name')}; if it is of "
            "that kind, download the missing files."
        )
    return read_json(path)


def _edits(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> bool:
    """Whether a UNet takes a picture's latents behind its own: InstructPix2Pix, whose pipeline repairs nothing."""
    channels = vae.get("latent_channels", 4)
    return isinstance(channels, int) and unet.get("in_channels") == 2 * channels


def _has_encoder(root: Path, index: Mapping[str, Any], name: str, xl: bool) -> bool:
    """Whether a text encoder is to be there: SDXL's kind has both, but for those that the index says null of."""
    if _class_in(root, index, name) is not None:
        return True
    return name not in index if xl else name == TEXT_ENCODERS[0]


def _class_in(root: Path, index: Mapping[str, Any], key: str) -> str | None:
    """The class that `model_index.json` gives for one of its parts; None where it names none.

    Raises:
        ModelError: the entry is no pair of a library and a class.
    """
    entry = index.get(key)
    if entry is None or entry == [None, None]:
        return None
    if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(part, str) for part in entry):
        expected = '["library", "Class"], or [null, null]'
        raise Options(str(root / "model_index.json"), index).unsupported(key, entry, expected)
    return str(entry[1])


def _check_kind(root: Path, index: Mapping[str, Any]) -> None:
    pipeline = str(index.get("_class_name"))
    other = [name for name in _UNSUPPORTED_FOLDERS if (root / name).is_dir()]
    if other or pipeline.startswith(_UNSUPPORTED_PIPELINES):
        described = f"{pipeline}, with a {other[0]}" if other else pipeline
        raise ModelError(
            f"{root}: is a model of another kind ({described}). Stable Diffusion 3 and Flux are not supported yet; "
            "expected a model of Stable Diffusion 1.x's, 2.x's or XL's kind (StableDiffusionPipeline, "
            "StableDiffusionXLPipeline)."
        )


def _read_defaults(path: Path) -> dict[str, Any]:
    """The settings that the model's maker advises, by their kind; what is null or unknown here is left out.

    Their ranges are those of the settings of a run (`latentrt.painting.advice`).
    """
    advised = {key: value for key, value in read_json(path, optional=True).items() if value is not None}
    options = Options(str(path), advised)
    defaults: dict[str, Any] = {
        key: options.number(key, 1, high=MAX_PIXELS) for key in _ADVISED_COUNTS if key in advised
    }
    defaults |= {key: options.real(key, 0.0) for key in _ADVISED_NUMBERS if key in advised}
    if "timesteps" in advised:
        timesteps = advised["timesteps"]
        if not isinstance(timesteps, list) or not timesteps or not all(map(is_finite, timesteps)):
            raise options.unsupported("timesteps", timesteps, "a list of numbers")
        defaults["timesteps"] = timesteps
    if "sampler" in advised:
        if not isinstance(advised["sampler"], str):
            raise options.unsupported("sampler", advised["sampler"], "the name of a sampler")
        defaults["sampler"] = advised["sampler"]
    return defaults


def model_folder(model: str | Path) -> Path:
    """The folder that a model's name stands for; whether there is one is not looked at."""
    if model == "demo":
        return Path(str(importlib.resources.files("latentrt"))) / "models" / "demo"
    return Path(model).expanduser()


def _find(model: str | Path) -> Path:
    root = model_folder(model)
    if root.is_file():
        return root
    if not root.is_dir():
        raise ModelError(
            f"{model}: no such model. Expected `demo`, a .safetensors file, or the folder of a diffusers checkpoint or "
            "of a bundle. "
            "A model of a hub is downloaded first (`hf download NAME --local-dir FOLDER`)."
        )
    if not (root / "model_index.json").is_file() and find_layout(root) is None:
        raise ModelError(
            f"{root}: is no model: it has no model_index.json, and no ONNX graphs of one. Expected a diffusers folder, "
            "a bundle, or a folder of ONNX files (text_encoder, unet, vae_decoder)."
        )
    return root
