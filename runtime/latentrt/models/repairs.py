"""What diffusers puts right when it makes a pipeline of a folder; done here where the folder is read.

A folder that an older diffusers wrote leaves settings out, or holds the defaults of classes that were made for pixels.
The constructors of diffusers' Stable Diffusion pipelines set these, so that such a folder means the same to every
version; from 0.2 on it means the same here. What is set holds for every sampler that is asked for, as if the pipeline
were made with it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latentrt.schedule import CLASSES

# Until then diffusers wrote the size of the network's first training into the UNet's config, whatever came after.
_SIZES_ARE_MEANT = (0, 9)
_SAMPLE_SIZE = 64
_SCHEDULER_FILE = "scheduler/scheduler_config.json"
# What the pipeline of the x4 upscaler takes its autoencoder's scaling for, whatever the config says.
UPSCALER_SCALING = 0.08333
_DEFAULT_SCALING = 0.18215  # AutoencoderKL's
# Settings of a scheduler, and what the pipelines set: all of them, and that for inpainting.
_FOR_LATENTS: Mapping[str, bool | int] = {"steps_offset": 1, "clip_sample": False}
_FOR_INPAINTING: Mapping[str, bool | int] = {"skip_prk_steps": True}


@dataclass(frozen=True)
class Repair:
    """One setting that counts for something else than the folder says.

    Attributes:
        file: below the model's folder.
        key: of the setting.
        said: whether the file says anything of it.
        before: what it says, or its class's default.
        after: what counts.
        why: in a few words.
    """

    file: str
    key: str
    said: bool
    before: Any
    after: Any
    why: str

    def __str__(self) -> str:
        said = f"is {self.before!r}" if self.said else f"is absent, which is {self.before!r}"
        return f"{self.file}: {self.key} {said}; taken for {self.after!r}, {self.why}"


def repair_scheduler(
    config: Mapping[str, Any], class_name: str | None, for_latents: bool = True
) -> tuple[dict[str, Any], tuple[Repair, ...]]:
    """The scheduler config that counts.

    Args:
        config: a parsed `scheduler_config.json`.
        class_name: the class that `model_index.json` names, which wins; None: it names none.
        for_latents: its pipeline sets what the first latent models need; SDXL's and InstructPix2Pix's do not.
    """
    named, meant = config.get("_class_name"), _FOR_LATENTS if for_latents else {}
    if class_name is None or class_name == named:
        return _with(config, meant)
    why = "as model_index.json says"
    other = Repair(_SCHEDULER_FILE, "_class_name", named is not None, named, class_name, why)
    repaired, repairs = _with({**config, "_class_name": class_name}, meant)
    return repaired, (other, *repairs)


def for_inpainting(config: Mapping[str, Any]) -> dict[str, Any]:
    """The scheduler config that counts where diffusers' inpainting pipeline runs."""
    return _with(config, _FOR_INPAINTING)[0]


def _with(
    config: Mapping[str, Any], meant: Mapping[str, bool | int]
) -> tuple[dict[str, Any], tuple[Repair, ...]]:
    """The config with what is meant, told where the config's own class would have taken something else."""
    repaired, repairs = dict(config), []
    ignored = config.get("_use_default_values")
    ignored = ignored if isinstance(ignored, list) else []
    own = CLASSES.get(str(config.get("_class_name")))
    for key, after in meant.items():
        given = None if key in ignored else config.get(key)
        if isinstance(after, bool) and given is not None and not isinstance(given, bool):
            continue  # neither is true for diffusers: refused when it is read
        repaired[key] = after
        before = given if given is not None or own is None else own.defaults.get(key)
        if before is not None and before != after:
            why = "as diffusers' pipelines set it"
            repairs.append(Repair(_SCHEDULER_FILE, key, given is not None, before, after, why))
    if ignored:
        repaired["_use_default_values"] = [key for key in ignored if key not in meant]
    return repaired, tuple(repairs)


def repair_unet(config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Repair, ...]]:
    """The UNet's config that counts: a `sample_size` below 64 that a diffusers before 0.9 wrote is 64."""
    size, version = config.get("sample_size"), _version(config.get("_diffusers_version"))
    old = version is not None and version < _SIZES_ARE_MEANT
    if not old or isinstance(size, bool) or not isinstance(size, int) or not 0 < size < _SAMPLE_SIZE:
        return dict(config), ()
    why = "as diffusers' pipelines set it in configs older than 0.9"
    repair = Repair("unet/config.json", "sample_size", True, size, _SAMPLE_SIZE, why)
    return {**config, "sample_size": _SAMPLE_SIZE}, (repair,)


def repair_upscaler(config: Mapping[str, Any], file: str) -> tuple[dict[str, Any], tuple[Repair, ...]]:
    """The config of an upscaler's autoencoder that counts: configs older than the setting lack it.

    Args:
        config: of the autoencoder.
        file: where it is, below the model's folder.
    """
    before = config.get("scaling_factor")
    if before == UPSCALER_SCALING:
        return dict(config), ()
    said = before is not None
    why = "as diffusers' upscaling pipeline sets it"
    before = before if said else _DEFAULT_SCALING
    repair = Repair(file, "scaling_factor", said, before, UPSCALER_SCALING, why)
    return {**config, "scaling_factor": UPSCALER_SCALING}, (repair,)


def _version(text: Any) -> tuple[int, int] | None:
    """Major and minor of "0.10.2" or "0.9.0.dev0"; None of what is no version."""
    match = re.match(r"v?([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", text) if isinstance(text, str) else None
    return None if match is None else (int(match[1]), int(match[2]))
