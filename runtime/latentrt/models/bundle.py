"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models.manifest import COMPONENTS as COMPONENTS
from latentrt.models.manifest import MANIFEST_NAME, Manifest, read_manifest
from latentrt.models.repairs import Repair, repair_scheduler, repair_unet
from latentrt.models.weight_files import find_weight_files
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Options, Variant, build

# A diffusers folder holds both halves of the autoencoder in one.
_DIFFUSERS_FOLDERS = {"vae_encoder": "vae", "vae_decoder": "vae"}
_SCHEDULER_CONFIG = Path("scheduler", "scheduler_config.json")
_ADVICE = "generation_config.json"
# What a maker may advise there.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")
_LEAST_FACTOR = 1e-6  # of a VAE's scaling factor, whose published ones are 0.08 to 1.5
_SAMPLE_SIZE = 64  # latents of a side, where the UNet's config names none: what Stable Diffusion was made for
# Pipelines whose networks are others, by how their class begins; and a folder that such a model has.
_UNSUPPORTED_PIPELINES = ("StableDiffusionXL", "StableDiffusion3", "Flux")
_UNSUPPORTED_FOLDERS = ("text_encoder_2", "transformer")


@dataclass(frozen=True)
class Component:
    """One network of a model: where its config and weights are.

    Attributes:
        name: as of `networks.BUILDERS`.
        folder: of its files.
        config: what its config.json says, and what diffusers makes of it.
        fp32_only: it overflows in fp16.
        class_name: what `model_index.json` calls its class; None where it names none, and the config's own counts.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    fp32_only: bool = False
    class_name: str | None = None

    @cached_property
    def weights(self) -> Weights:
        """The tensors of this component; headers are read once."""
        return Weights(find_weight_files(self.folder))

    @property
    def config_path(self) -> Path:
        """Where `config` was read."""
        return self.folder / "config.json"

    @property
    def options(self) -> Options:
        """The settings of `config`, to be asked for one by one; a ModelError names what cannot be."""
        return Options(str(self.config_path), self.config)

    def graph(self, variant: Variant) -> Graph:
        """What computes it, written from `config`; without weights.

        Raises:
            ModelError: a setting of `config` has no graph here; the message names it.
        """
        return build(self.name, self.config, variant, str(self.config_path), self.class_name)


@dataclass(frozen=True)
class Model:
    """A model on disk.

    Attributes:
        name: of its folder.
        root: its folder.
        index: what `model_index.json` says.
        components: its networks.
        scheduler_config: what its `scheduler_config.json` says, and what diffusers makes of it.
        manifest: of a bundle.
        defaults: the generation settings that its maker advises, if it says any.
        repairs: what counts for something else than its files say.
    """

    name: str
    root: Path
    index: Mapping[str, Any]
    components: Mapping[str, Component]
    scheduler_config: Mapping[str, Any]
    manifest: Manifest | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    repairs: tuple[Repair, ...] = ()

    # Each of these raises a ModelError where config.json says something that cannot be; where it says nothing, the
    # default of the component's class holds.

    @property
    def scheduler_path(self) -> Path:
        """Where `scheduler_config` was read."""
        return self.root / _SCHEDULER_CONFIG

    @property
    def advice_path(self) -> Path:
        """Where `defaults` were read."""
        return self.root / _ADVICE

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent, along each axis: one halving between each two blocks of the autoencoder."""
        return 1 << (len(self.components["vae_decoder"].options.numbers("block_out_channels", (64,))) - 1)

    @property
    def default_size(self) -> tuple[int, int]:
        """Width and height, in pixels, that the UNet was made for; Stable Diffusion's where its config names none.

        Raises:
            ModelError: also where there would be more pixels than are painted.
        """
        options = self.components["unet"].options
        height, width = options.per_level("sample_size", 2, _SAMPLE_SIZE, high=MAX_PIXELS)
        factor = self.vae_scale_factor
        if width * height * factor**2 > MAX_PIXELS:
            said = f"{width * factor}x{height * factor} pixels, and at most {MAX_PIXELS:,} are painted"
            raise ModelError(
                f"{options.where}: sample_size is {options.get('sample_size')!r}: {said}; give width and height"
            )
        return width * factor, height * factor

    def default_side(self, name: str) -> int:
        """`width` or `height` in pixels: what the maker advises, else what the UNet was made for.

        Raises:
            ModelError: the advice is no multiple of the autoencoder's factor; or as `default_size`.
        """
        if name in self.defaults:
            side = int(self.defaults[name])
            if side % self.vae_scale_factor:
                advice = Options(str(self.advice_path), self.defaults)
                raise advice.unsupported(name, side, f"a multiple of {self.vae_scale_factor}")
            return side
        return self.default_size[("width", "height").index(name)]

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        return self.components["vae_decoder"].options.number("latent_channels", 4)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by for the UNet; AutoencoderKL's own default where the config is older than it.

        Raises:
            ModelError: it is no number, or one that latents are not divided by: 0, or beyond what float32 takes.
        """
        options = self.components["vae_decoder"].options
        factor = options.real("scaling_factor", 0.18215)
        if not _LEAST_FACTOR <= abs(factor) <= 1 / _LEAST_FACTOR:
            said = options.get("scaling_factor")
            raise options.unsupported(
                "scaling_factor", said, f"a number of {_LEAST_FACTOR:g} to {1 / _LEAST_FACTOR:g}"
            )
        return factor

    @property
    def unet_channels(self) -> int:
        """Channels that the UNet takes."""
        return self.components["unet"].options.number("in_channels", 4)

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder."""
        return self.components["text_encoder"].options.count("num_hidden_layers", 12)

    @property
    def text_positions(self) -> int:
        """The most tokens that the text encoder takes."""
        return self.components["text_encoder"].options.number("max_position_embeddings", 77)

    @property
    def vocab_size(self) -> int:
        """Token ids that the text encoder has a row for: those below."""
        return self.components["text_encoder"].options.number("vocab_size", 49408)


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
    components: dict[str, Component] = {}
    for name in COMPONENTS:
        key = _DIFFUSERS_FOLDERS.get(name, name)
        folder = root / (name if manifest is not None else key)
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{root}: has no {folder.name}/config.json; expected the folders of a Stable Diffusion 1.x or 2.x "
                f"model (text_encoder, unet, vae, tokenizer, scheduler). Its pipeline is {index.get('_class_name')}; "
                "if it is of that kind, download the missing files."
            )
        fp32_only = manifest is not None and manifest.components[name].fp32_only
        config = read_json(folder / "config.json")
        if name == "unet":
            config, unet_repairs = repair_unet(config)
        if name == "text_encoder" and isinstance(config.get("text_config"), dict):
            config = config["text_config"]  # of a whole CLIP, as transformers reads it
        components[name] = Component(name, folder, config, fp32_only, _class_in(root, index, key))
    scheduler_config, scheduler_repairs = repair_scheduler(
        read_json(root / _SCHEDULER_CONFIG), _class_in(root, index, "scheduler")
    )
    return Model(
        name="demo" if model == "demo" else root.resolve().name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        manifest=manifest,
        defaults=_read_defaults(root / _ADVICE),
        repairs=scheduler_repairs + unet_repairs,
    )


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
            f"{root}: is a model of another kind ({described}). Stable Diffusion XL, Stable Diffusion 3 and Flux are "
            "not supported yet; expected a model of Stable Diffusion 1.x or 2.x's kind (StableDiffusionPipeline)."
        )


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
