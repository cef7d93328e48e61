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
# What a maker may advise in generation_config.json.
_ADVISED_COUNTS = ("width", "height", "num_inference_steps")
# Latents of a side, where the UNet's config names none: what Stable Diffusion and SDXL were made for.
_SAMPLE_SIZES = {False: 64, True: 128}
# Pipelines whose networks are others, by how their class begins; and a folder that such a model has.
_UNSUPPORTED_PIPELINES = ("StableDiffusion3", "Flux")
_UNSUPPORTED_FOLDERS = ("transformer",)
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")  # in the order in which the UNet is given what they say


@dataclass(frozen=True)
class Component:
    """One network of a model: where its config and weights are.

    Attributes:
        name: of what it does in the model: a key of `networks.BUILDERS`, or `text_encoder_2`.
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
        role = TEXT_ENCODERS[0] if self.name in TEXT_ENCODERS else self.name
        return build(role, self.config, variant, str(self.config_path), self.class_name)


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
        height, width = options.per_level("sample_size", 2, _SAMPLE_SIZES[self.is_xl], high=MAX_PIXELS)
        factor = self.vae_scale_factor
        if width * height * factor**2 > MAX_PIXELS:
            said = f"{width * factor}x{height * factor} pixels, and at most {MAX_PIXELS:,} are painted"
            raise ModelError(
                f"{options.where}: sample_size is {options.get('sample_size')!r}: {said}; give width and height"
            )
        return width * factor, height * factor

    def default_side(self, name: str) -> int:
        """`width` or `height` in pixels: what the maker advises, else what the UNet was made for."""
        if name in self.defaults:
            return int(self.defaults[name])
        return self.default_size[("width", "height").index(name)]

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        return self.components["vae_decoder"].options.number("latent_channels", 4)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by for the UNet; AutoencoderKL's own default where the config is older than it.

        Raises:
            ModelError: it is no number, or 0.
        """
        options = self.components["vae_decoder"].options
        factor = options.real("scaling_factor", 0.18215)
        if factor == 0:
            raise options.unsupported("scaling_factor", 0, "a number other than 0")
        return factor

    @property
    def unet_channels(self) -> int:
        """Channels that the UNet takes."""
        return self.components["unet"].options.number("in_channels", 4)

    @property
    def is_xl(self) -> bool:
        """Whether it is of SDXL's kind, whose UNet is told the text in one row and the picture's sizes besides."""
        return _is_xl(self.components["unet"].config)

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """The components that read the prompt, in the order in which what they say is joined."""
        return tuple(name for name in TEXT_ENCODERS if name in self.components)

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder, the fewest where there are two, of which clip skip leaves some out."""
        layers = [self.components[name].options.count("num_hidden_layers", 12) for name in self.text_encoders]
        return min(layers)

    @property
    def num_time_ids(self) -> int:
        """How many numbers an XL model's UNet is told of the picture's sizes: 6, or 5 of a refiner; 0 of others.

        Raises:
            ModelError: another count, as of a UNet that does not go with its text encoder.
        """
        if not self.is_xl:
            return 0
        options = self.components["unet"].options
        pooled = self.components[self.text_encoders[-1]].options.number("projection_dim", 512)
        added = options.number("projection_class_embeddings_input_dim", 2816)
        count, rest = divmod(added - pooled, options.number("addition_time_embed_dim", 256, low=2))
        if rest or count not in (5, 6):
            expected = (
                f"{self.text_encoders[-1]}'s projection_dim {pooled} and 5 or 6 times addition_time_embed_dim"
            )
            raise options.unsupported("projection_class_embeddings_input_dim", added, expected)
        return count

    @property
    def guidance_width(self) -> int:
        """Of the embedded guidance scale that a latent consistency model's UNet takes; 0 of others."""
        options = self.components["unet"].options
        return 0 if options.get("time_cond_proj_dim") is None else options.number("time_cond_proj_dim", 256)

    @property
    def zeroes_empty_negative(self) -> bool:
        """Whether zeros stand for a negative prompt that is not given, as XL models are trained, not the empty text."""
        return self.is_xl and self.index.get("force_zeros_for_empty_prompt", True) is not False


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
    unet, unet_repairs = _read_config(root, "unet", index), ()
    is_xl = _is_xl(unet)
    if not is_xl:
        unet, unet_repairs = repair_unet(unet)
    encoders = [name for name in TEXT_ENCODERS if _is_part(index, name, is_xl or name == TEXT_ENCODERS[0])]
    components: dict[str, Component] = {}
    for name in (*encoders, *COMPONENTS[1:]):
        key = _DIFFUSERS_FOLDERS.get(name, name)
        folder = name if manifest is not None else key
        config = unet if name == "unet" else _read_config(root, folder, index)
        if name in encoders and isinstance(config.get("text_config"), dict):
            config = config["text_config"]  # of a whole CLIP, as transformers reads it
        fp32_only = manifest is not None and manifest.components[name].fp32_only
        if key == "vae" and is_xl and config.get("force_upcast", True) is not False:
            fp32_only = True
        components[name] = Component(name, root / folder, config, fp32_only, _class_in(index, key))
    scheduler_config, scheduler_repairs = repair_scheduler(
        read_json(root / _SCHEDULER_CONFIG), _class_in(index, "scheduler"), for_latents=not is_xl
    )
    return Model(
        name="demo" if model == "demo" else root.resolve().name,
        root=root,
        index=index,
        components=components,
        scheduler_config=scheduler_config,
        manifest=manifest,
        defaults=_read_defaults(root / "generation_config.json"),
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


def _is_xl(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet's config is of SDXL's kind."""
    return unet.get("addition_embed_type") == "text_time"


def _is_part(index: Mapping[str, Any], key: str, default: bool) -> bool:
    """Whether `model_index.json` has this part: ["library", "Class"], not [null, null]."""
    entry = index.get(key)
    return any(entry) if isinstance(entry, list) else default


def _class_in(index: Mapping[str, Any], key: str) -> str | None:
    """The class that `model_index.json` gives for one of its parts, as ["diffusers", "PNDMScheduler"]."""
    entry = index.get(key)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    return name if isinstance(name, str) else None


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
