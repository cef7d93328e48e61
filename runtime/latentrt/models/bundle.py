"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import importlib.resources
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.manifest import COMPONENTS as COMPONENTS
from latentrt.models.manifest import MANIFEST_NAME, Manifest, read_manifest
from latentrt.models.weight_files import find_weight_files
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Variant, build

# A diffusers folder holds both halves of the autoencoder in one.
_DIFFUSERS_FOLDERS = {"vae_encoder": "vae", "vae_decoder": "vae"}
# What a maker may advise in generation_config.json.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")
_MAX_INTEGER = 2**31 - 1  # no size or count of a model comes near
_MAX_LEVELS = 16  # of an autoencoder; published ones have 4
# Pipelines whose networks are others, by how their class begins; and a folder that such a model has.
_UNSUPPORTED_PIPELINES = ("StableDiffusionXL", "StableDiffusion3", "Flux")
_UNSUPPORTED_FOLDERS = ("text_encoder_2", "transformer")


@dataclass(frozen=True)
class Component:
    """One network of a model: where its config and weights are. `fp32_only`: it overflows in fp16."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    fp32_only: bool = False

    @cached_property
    def weights(self) -> Weights:
        """The tensors of this component; headers are read once."""
        return Weights(find_weight_files(self.folder))

    @property
    def config_path(self) -> Path:
        """Where `config` was read."""
        return self.folder / "config.json"

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of 1 or more in the config; `default` where it is absent or null.

        Raises:
            ModelError: it is something else.
        """
        value = self.config.get(key)
        return _integer(self.config_path, key, default if value is None else value)

    def number(self, key: str, default: float) -> float:
        """A finite number in the config; `default` where it is absent or null.

        Raises:
            ModelError: it is something else.
        """
        value = self.config.get(key)
        return _number(self.config_path, key, default if value is None else value)

    def graph(self, variant: Variant) -> Graph:
        """What computes it, written from `config`; without weights.

        Raises:
            ModelError: a setting of `config` has no graph here; the message names it.
        """
        return build(self.name, self.config, variant, str(self.config_path))


@dataclass(frozen=True)
class Model:
    """A model on disk. `defaults` are the generation settings that its maker advises, if it says any."""

    name: str
    root: Path
    index: Mapping[str, Any]
    components: Mapping[str, Component]
    scheduler_config: Mapping[str, Any]
    manifest: Manifest | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    # Each of these raises a ModelError where config.json says something that cannot be; where it says nothing, the
    # default of the component's class holds.

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent, along each axis: one halving between each two blocks of the autoencoder."""
        component = self.components["vae_decoder"]
        widths = component.config.get("block_out_channels")
        widths = [64] if widths is None else widths
        if not isinstance(widths, list) or not 1 <= len(widths) <= _MAX_LEVELS:
            expected = f"a list of 1 to {_MAX_LEVELS} whole numbers"
            raise _unexpected(component.config_path, "block_out_channels", expected, widths)
        return 1 << (len(widths) - 1)

    @property
    def default_size(self) -> int:
        """Width and height, in pixels, that the UNet was made for; there is no default for it."""
        unet = self.components["unet"]
        if unet.config.get("sample_size") is None:
            raise ModelError(f"{unet.config_path}: names no sample_size to go by; give width and height")
        return unet.integer("sample_size") * self.vae_scale_factor

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        return self.components["vae_decoder"].integer("latent_channels", 4)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by for the UNet; AutoencoderKL's own default where the config is older than it.

        Raises:
            ModelError: it is no number, or 0.
        """
        component = self.components["vae_decoder"]
        factor = component.number("scaling_factor", 0.18215)
        if factor == 0:
            raise ModelError(f"{component.config_path}: scaling_factor: expected a number other than 0")
        return factor

    @property
    def unet_channels(self) -> int:
        """Channels that the UNet takes."""
        return self.components["unet"].integer("in_channels", 4)

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder."""
        return self.components["text_encoder"].integer("num_hidden_layers", 12)

    @property
    def text_positions(self) -> int:
        """The most tokens that the text encoder takes."""
        return self.components["text_encoder"].integer("max_position_embeddings", 77)


def open_model(model: str | Path) -> Model:
    """Open a model by its folder, or the included one by the name "demo".

    Raises:
        ModelError: there is no such folder, it is no model, or of a kind that is not supported.
    """
    root = _find(model)
    index_path = root / "model_index.json"
    manifest = read_manifest(root) if (root / MANIFEST_NAME).is_file() else None
    index = read_json(index_path)
    if manifest is None and (root / "unet" / "model.onnx").is_file():
        raise ModelError(
            f"{root}: an ONNX export without {MANIFEST_NAME}, so not a (whole) latentrt bundle. Run the diffusers "
            "folder that it was made from, or make a bundle with `latentrt export`."
        )
    _check_kind(root, index)
    components = {}
    for name in COMPONENTS:
        folder = root / (name if manifest is not None else _DIFFUSERS_FOLDERS.get(name, name))
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{root}: has no {folder.name}/config.json; expected the folders of a Stable Diffusion 1.x or 2.x "
                f"model (text_encoder, unet, vae, tokenizer, scheduler). Its pipeline is {index.get('_class_name')}; "
                "if it is of that kind, download the missing files."
            )
        fp32_only = manifest is not None and manifest.components[name].fp32_only
        config = read_json(folder / "config.json")
        components[name] = Component(name, folder, config, fp32_only)
    return Model(
        name="demo" if model == "demo" else root.resolve().name,
        root=root,
        index=index,
        components=components,
        scheduler_config=read_json(root / "scheduler" / "scheduler_config.json"),
        manifest=manifest,
        defaults=_read_defaults(root / "generation_config.json"),
    )


def _check_kind(root: Path, index: Mapping[str, Any]) -> None:
    pipeline = str(index.get("_class_name"))
    other = [name for name in _UNSUPPORTED_FOLDERS if (root / name).is_dir()]
    if other or pipeline.startswith(_UNSUPPORTED_PIPELINES):
        described = f"{pipeline}, with a {other[0]}" if other else pipeline
        raise ModelError(
            f"{root}: is a model of another kind ({described}). Stable Diffusion XL, Stable Diffusion 3 and Flux are "
            "not supported yet; expected a model of Stable Diffusion 1.x or 2.x's kind (StableDiffusionPipeline)."
        )


def _read_defaults(path: Path) -> dict[str, Any]:
    """The settings that the model's maker advises, checked; what is null or unknown here is left out."""
    advised = {key: value for key, value in read_json(path, optional=True).items() if value is not None}
    defaults: dict[str, Any] = {
        key: _integer(path, key, advised[key]) for key in _ADVISED_COUNTS if key in advised
    }
    if "guidance_scale" in advised:
        defaults["guidance_scale"] = _number(path, "guidance_scale", advised["guidance_scale"])
    if "sampler" in advised:
        if not isinstance(advised["sampler"], str):
            raise _unexpected(path, "sampler", "the name of a sampler", advised["sampler"])
        defaults["sampler"] = advised["sampler"]
    return defaults


def _integer(path: Path, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_INTEGER:
        raise _unexpected(path, key, f"a whole number from 1 to {_MAX_INTEGER}", value)
    return value


def _number(path: Path, key: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise _unexpected(path, key, "a finite number", value)
    return number


def _unexpected(path: Path, key: str, expected: str, value: Any) -> ModelError:
    return ModelError(f"{path}: {key}: expected {expected}, got {reprlib.repr(value)}")


def model_folder(model: str | Path) -> Path:
    """The folder that a model's name stands for; whether there is one is not looked at."""
    if model == "demo":
        return Path(str(importlib.resources.files("latentrt"))) / "models" / "demo"
    return Path(model).expanduser()


def _find(model: str | Path) -> Path:
    root = model_folder(model)
    if root.is_file():
        raise ModelError(
            f"{root}: is a file. Expected the folder of a diffusers checkpoint (with model_index.json) or a bundle; "
            "a single-file checkpoint is converted by diffusers' `from_single_file(...).save_pretrained(folder)`."
        )
    if not root.is_dir():
        raise ModelError(
            f"{model}: no such model. Expected `demo`, or the folder of a diffusers checkpoint or of a bundle. "
            "A model of a hub is downloaded first (`hf download NAME --local-dir FOLDER`)."
        )
    if not (root / "model_index.json").is_file():
        raise ModelError(
            f"{root}: is no model: it has no model_index.json. Expected a diffusers folder or a bundle."
        )
    return root
