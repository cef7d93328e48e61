"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.kind import check_kind
from latentrt.models.layout import ADVICE, CONFIG, INDEX, SCHEDULER_CONFIG, TEXT_ENCODERS
from latentrt.models.locate import locate
from latentrt.models.manifest import COMPONENTS as COMPONENTS
from latentrt.models.manifest import MANIFEST_NAME, read_manifest
from latentrt.models.model import Component, Model, is_xl
from latentrt.models.repairs import Repair, repair_scheduler, repair_unet
from latentrt.networks import Options

# A diffusers folder holds both halves of the autoencoder in one.
_DIFFUSERS_FOLDERS = {"vae_encoder": "vae", "vae_decoder": "vae"}
# What a maker may advise.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")


def open_model(model: str | Path) -> Model:
    """Open a model by its folder, the included one by the name "demo", or one of the hub by `org/name`.

    Raises:
        ModelError: there is no such model, it is none, or of a kind that is not supported.
    """
    located = locate(model)
    root = located.path
    index_path = root / INDEX
    manifest = read_manifest(root) if os.path.lexists(root / MANIFEST_NAME) else None
    index = read_json(index_path)
    if manifest is None and (root / "unet" / "model.onnx").is_file():
        raise ModelError(
            f"{root}: an ONNX export without {MANIFEST_NAME}, so not a (whole) latentrt bundle. Run the diffusers "
            "folder that it was made from, or make a bundle with `latentrt export`."
        )
    check_kind(str(root), index, [path.name for path in root.iterdir() if path.is_dir()])
    unet = _read_config(root, "unet", index)
    unet_repairs: tuple[Repair, ...] = ()
    xl = is_xl(unet)
    if not xl:
        unet, unet_repairs = repair_unet(unet)
    encoders = [name for name in TEXT_ENCODERS if _has_encoder(root, index, name, xl)]
    components: dict[str, Component] = {}
    for name in (*encoders, *COMPONENTS[1:]):
        key = _DIFFUSERS_FOLDERS.get(name, name)
        folder = name if manifest is not None else key
        config = unet if name == "unet" else _read_config(root, folder, index)
        if name in encoders and isinstance(config.get("text_config"), dict):
            config = config["text_config"]  # of a whole CLIP, as transformers reads it
        fp32_only = manifest is not None and manifest.components[name].fp32_only
        if key == "vae" and xl and config.get("force_upcast", True) is not False:
            fp32_only = True
        components[name] = Component(name, root / folder, config, fp32_only, _class_in(root, index, key))
    scheduler_config, scheduler_repairs = repair_scheduler(
        read_json(root / SCHEDULER_CONFIG), _class_in(root, index, "scheduler"), for_latents=not xl
    )
    return Model(
        name=located.name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        manifest=manifest,
        defaults=_read_defaults(root / ADVICE),
        repairs=scheduler_repairs + unet_repairs,
    )


def _read_config(root: Path, folder: str, index: Mapping[str, Any]) -> dict[str, Any]:
    path = root / folder / CONFIG
    if not os.path.lexists(path):
        raise ModelError(
            f"{root}: has no {folder}/config.json; expected the folders of a Stable Diffusion or SDXL model "
            f"(text_encoder, unet, vae, tokenizer, scheduler). Its pipeline is {index.get('_class_name')}; if it is of "
            "that kind, download the missing files."
        )
    return read_json(path)


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
        raise Options(str(root / INDEX), index).unsupported(key, entry, expected)
    return str(entry[1])


def _read_defaults(path: Path) -> dict[str, Any]:
    """The settings that the model's maker advises, checked; what is null or unknown here is left out."""
    advised = {key: value for key, value in read_json(path, optional=True).items() if value is not None}
    options = Options(str(path), advised)
    defaults: dict[str, Any] = {
        key: options.number(key, 1, high=MAX_PIXELS) for key in _ADVISED_COUNTS if key in advised
    }
    if "guidance_scale" in advised:
        defaults["guidance_scale"] = options.real("guidance_scale", 1.0)
    if "sampler" in advised:
        if not isinstance(advised["sampler"], str):
            raise options.unsupported("sampler", advised["sampler"], "the name of a sampler")
        defaults["sampler"] = advised["sampler"]
    return defaults
