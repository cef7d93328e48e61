"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.component import Component
from latentrt.models.folder_advice import with_advice
from latentrt.models.given.layout import find_layout
from latentrt.models.given.opening import open_given
from latentrt.models.kind import check_kind
from latentrt.models.layout import (
    ADVICE,
    CHECKPOINT_FOLDERS,
    CONFIG,
    INDEX,
    LOW_RES_CONFIG,
    SCHEDULER_CONFIG,
    TEXT_ENCODERS,
)
from latentrt.models.locate import locate
from latentrt.models.manifest import COMPONENTS, GRAPH_FILES, MANIFEST_NAME, read_manifest
from latentrt.models.model import Model, is_upscaler, is_xl, overflows_vae, purpose_of
from latentrt.models.repairs import Repair, repair_scheduler, repair_unet, repair_upscaler
from latentrt.models.replacing import NOTHING_ELSE, Replacements, lacking, with_replacements
from latentrt.models.single_file import open_single_file
from latentrt.networks import TINY, Options
from latentrt.networks.options import is_finite

# What a maker may advise.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")
_ADVISED_NUMBERS = ("guidance_scale", "guidance_rescale", "image_guidance_scale", "eta")


def open_model(model: str | Path, given: Replacements = NOTHING_ELSE) -> Model:
    """Open a model by its folder or file, the included one by the name "demo", or one of the hub by `org/name`.

    Args:
        model: where it is.
        given: what counts in place of its own, or for what a single file lacks.

    Raises:
        ModelError: there is no such model, it is none, of a kind that is not supported, or not whole.
    """
    opened = open_part(model, given)
    if (lacks := lacking(opened)) is not None:
        raise ModelError(f"{opened.root}: {lacks}")
    return opened


def open_part(model: str | Path, given: Replacements = NOTHING_ELSE) -> Model:
    """The same, of a single file that may lack networks (`replacing.lacking`): it can be told of, and not run.

    Raises:
        ModelError: there is no such model, it is none, or of a kind that is not supported.
    """
    located = locate(model)
    if located.path.is_file():
        opened = open_single_file(located.path, given.prediction_type)
    else:
        opened = with_advice(_open_folder(located.path, given.prediction_type), located.name)
    return with_replacements(replace(opened, name=located.name), given)


def _open_folder(root: Path, prediction_type: str | None) -> Model:
    index_path = root / INDEX
    manifest = read_manifest(root) if os.path.lexists(root / MANIFEST_NAME) else None
    layout = None if manifest is not None else find_layout(root)
    index = read_json(index_path, optional=layout is not None)
    if manifest is None and (root / "unet" / GRAPH_FILES["fp32"]).is_file():
        raise ModelError(
            f"{root}: a bundle without {MANIFEST_NAME}, which is written last, so not a whole one. Run the diffusers "
            "folder that it was made from, or make the bundle again with `latentrt export`."
        )
    check_kind(str(root), index, [path.name for path in root.iterdir() if path.is_dir()])
    if layout is not None:
        scheduler, advised = _class_in(root, index, "scheduler"), _read_defaults(root / ADVICE)
        return open_given(
            root, layout, index, scheduler_class=scheduler, defaults=advised, prediction_type=prediction_type
        )
    unet = _read_config(root, "unet", index)
    unet_repairs: tuple[Repair, ...] = ()
    vae_repairs: tuple[Repair, ...] = ()
    xl = is_xl(unet)
    upscales = is_upscaler(unet)
    if not xl and not upscales:
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
        class_name = _class_in(root, index, key)
        # Where a config says nothing, AutoencoderKL's default counts; an AutoencoderTiny does not overflow.
        tiny = TINY in (class_name, config.get("_class_name"))
        if key == "vae" and overflows_vae(unet) and config.get("force_upcast", not tiny) is not False:
            fp32_only = True
        if key == "vae" and upscales:
            config, vae_repairs = repair_upscaler(config, f"{folder}/{CONFIG}")
        components[part] = Component(part, root / folder, config, fp32_only, class_name)
    scheduler_config, scheduler_repairs = repair_scheduler(
        read_json(root / SCHEDULER_CONFIG),
        _class_in(root, index, "scheduler"),
        for_latents=not xl and not _repairs_nothing(unet, components["vae_decoder"].config),
    )
    return Model(
        name=root.name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        manifest=manifest,
        defaults=_read_defaults(root / ADVICE),
        repairs=scheduler_repairs + unet_repairs + vae_repairs,
        low_res_config=read_json(root / LOW_RES_CONFIG) if upscales else {},
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


def _repairs_nothing(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> bool:
    """Whether diffusers' pipeline for a UNet repairs nothing.

    Of one that edits a picture (InstructPix2Pix), enlarges one or is shown its depths, or takes the guidance scale
    (latent consistency).
    """
    channels, takes = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    shown = isinstance(channels, int) and isinstance(takes, int) and purpose_of(unet, takes, channels)
    return shown in ("edit", "depth", "upscale") or unet.get("time_cond_proj_dim") is not None


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
