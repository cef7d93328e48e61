"""Networks that are given beside a model, in place of its own or for those that it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentrt.checks import PREDICTION_TYPES
from latentrt.errors import ModelError, SettingError
from latentrt.files import read_json
from latentrt.models.component import Component
from latentrt.models.contents import Contents, read_contents
from latentrt.models.derive import vae_config
from latentrt.models.families import SD1, SD2, SDXL
from latentrt.models.layout import CHECKPOINT_FOLDERS
from latentrt.models.model import TEXT_ENCODERS, Model, is_upscaler, is_xl, overflows_vae
from latentrt.models.prediction import prediction_of
from latentrt.models.repairs import repair_upscaler
from latentrt.models.single_file import (
    VAE_HALVES,
    advice_of,
    component_of,
    is_second,
    text_component,
    unet_of,
    vae_components,
)

# What of an autoencoder's config no tensor tells: taken from the model that it is given to.
_VAE_SCALING = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast")


@dataclass(frozen=True)
class Replacements:
    """Files of networks, or diffusers' folders of them, and what else counts in place of a model's own.

    Attributes:
        vae: an autoencoder.
        text_encoders: one file may hold both of SDXL's.
        unet: a UNet.
        prediction_type: what the UNet predicts, as diffusers calls it.
    """

    vae: Path | None = None
    text_encoders: tuple[Path, ...] = ()
    unet: Path | None = None
    prediction_type: str | None = None

    @property
    def entries(self) -> tuple[tuple[str, str], ...]:
        """Of a picture's text."""
        named = [
            ("VAE", self.vae),
            *(("Text encoder", path) for path in self.text_encoders),
            ("UNet", self.unet),
        ]
        told = [(name, path.resolve().stem) for name, path in named if path is not None]
        kind = [] if self.prediction_type is None else [("Prediction type", self.prediction_type)]
        return (*told, *kind)


NOTHING_ELSE = Replacements()


def make_replacements(
    vae: Path | str | None = None,
    text_encoder: Path | str | Sequence[Path | str] = (),
    unet: Path | str | None = None,
    prediction_type: str | None = None,
) -> Replacements:
    """What is given beside a model, checked; for the arguments see `latentrt.load`.

    Raises:
        SettingError: there is no such prediction type.
        ModelError: there is no such file or folder.
    """
    if prediction_type is not None and prediction_type not in PREDICTION_TYPES:
        raise SettingError(
            "prediction_type", expected=f"one of {', '.join(PREDICTION_TYPES)}", got=prediction_type
        )
    encoders = [text_encoder] if isinstance(text_encoder, str | Path) else list(text_encoder)
    paths = [None if given is None else Path(given).expanduser() for given in (vae, unet, *encoders)]
    for path in paths:
        if path is not None and not path.exists():
            raise ModelError(
                f"{path}: no such file; expected a .safetensors file or diffusers folder of one network"
            )
    return Replacements(
        paths[0], tuple(path for path in paths[2:] if path is not None), paths[1], prediction_type
    )


def with_replacements(model: Model, given: Replacements) -> Model:
    """The model with the networks that are given.

    Raises:
        ModelError: a file holds no such network, or one that does not go with the model's.
    """
    if given.unet is not None:
        model = _with_unet(model, given.unet)
    given_by: dict[str, Path] = {}
    for path in given.text_encoders:
        encoders = _text_encoders(model, path)
        for name in encoders:
            if name in given_by:
                raise ModelError(
                    f"{path}: holds the {name} that {given_by[name]} gives already; expected each text encoder once"
                )
        given_by |= dict.fromkeys(encoders, path)
        model = _with_text_encoders(model, encoders)
    model = model if given.vae is None else _with_vae(model, given.vae)
    if given.prediction_type is not None:
        predicting = {**model.scheduler_config, "prediction_type": given.prediction_type}
        model = replace(model, scheduler_config=predicting)
    return replace(model, entries=given.entries)


def _with_unet(model: Model, path: Path) -> Model:
    own = model.components["unet"].config
    notes = model.notes
    if path.is_dir():
        component = _of_folder("unet", path)
        scheduler, defaults = dict(model.scheduler_config), dict(model.defaults)
    else:
        contents = _held(path, "unet", "a UNet")
        config, family, yaml = unet_of(contents)
        said = prediction_of(contents, family, config, yaml)
        component = component_of("unet", contents, {**config, "sample_size": own.get("sample_size")})
        scheduler, defaults, told = advice_of(contents, config, family, said)
        notes += told
        if not told and not said.is_said:  # it says nothing of how to run it
            scheduler, defaults = dict(model.scheduler_config), dict(model.defaults)
    for key in ("cross_attention_dim", "addition_embed_type", "projection_class_embeddings_input_dim"):
        if component.config.get(key) != own.get(key):
            raise ModelError(
                f"{path}: its UNet does not go with {model.name}: its {key} is {component.config.get(key)}, that of "
                f"the model's own {own.get(key)}. Give a UNet of the model's family"
            )
    return replace(
        model,
        components={**model.components, "unet": component},
        scheduler_config=scheduler,
        defaults=defaults,
        notes=notes,
    )


def _text_encoders(model: Model, path: Path) -> dict[str, Component]:
    """Those that a file or folder holds, by what they are to the model."""
    xl = is_xl(model.components["unet"].config)
    if path.is_dir():
        found = [_of_folder(TEXT_ENCODERS[0], path)]
    else:
        contents = _held(path, "text_encoders", "a text encoder")
        found = []
        for encoder in contents.text_encoders:
            second = is_second(contents, encoder)
            family = SDXL if xl else SD2 if second else SD1
            found.append(text_component(TEXT_ENCODERS[xl and second], contents, encoder, family))
    encoders = {}
    for component in found:
        name = TEXT_ENCODERS[xl and component.config.get("hidden_act") == "gelu"]
        width = component.options.number("hidden_size", 512)
        if (own := model.components.get(name)) is not None:
            wanted = own.options.number("hidden_size", 512)
            if width != wanted:
                raise ModelError(
                    f"{path}: its text encoder is {width} wide, that of {model.name} {wanted}: it is of another family"
                )
        encoders[name] = replace(component, name=name)
    return encoders


def _with_text_encoders(model: Model, encoders: Mapping[str, Component]) -> Model:
    components = {**model.components, **encoders}
    ordered = {name: components[name] for name in TEXT_ENCODERS if name in components}
    return replace(model, components={**ordered, **components})


def _with_vae(model: Model, path: Path) -> Model:
    if path.is_dir():
        halves = {name: _of_folder(name, path) for name in VAE_HALVES}
        if overflows_vae(model.components["unet"].config):
            # As in a whole folder: what says nothing of it overflows.
            halves = {
                name: replace(half, fp32_only=half.config.get("force_upcast", True) is not False)
                for name, half in halves.items()
            }
    else:
        contents = _held(path, "vae", "an autoencoder")
        if "vae_decoder" in model.components:
            own = model.components["vae_decoder"].config
        else:
            own = {} if model.contents is None else unet_of(model.contents)[1].vae
        scaling = {key: own[key] for key in _VAE_SCALING if key in own}
        halves = vae_components(contents, {**scaling, **vae_config(contents.vae, str(path))})
    if is_upscaler(model.components["unet"].config):
        # As in a whole folder: its pipeline takes one scaling, whatever the config says.
        halves = {
            name: replace(half, config=repair_upscaler(half.config, "")[0]) for name, half in halves.items()
        }
    channels = halves["vae_decoder"].options.number("latent_channels", 4)
    wanted = model.components["unet"].options.number("out_channels", 4)
    if channels != wanted:
        raise ModelError(
            f"{path}: its latents have {channels} channels; the UNet of {model.name} paints {wanted}"
        )
    given = replace(model, components={**model.components, **halves})
    if "vae_decoder" in model.components and given.vae_scale_factor != model.vae_scale_factor:
        raise ModelError(
            f"{path}: its autoencoder makes {given.vae_scale_factor} pixels of a latent's side, that of {model.name} "
            f"{model.vae_scale_factor}: it is of another family"
        )
    return given


def _held(path: Path, part: str, called: str) -> Contents:
    contents = read_contents(path)
    if not getattr(contents, part):
        raise ModelError(
            f"{path}: holds no {called.removeprefix('a ').removeprefix('an ')}; expected {called}"
        )
    return contents


def _of_folder(name: str, folder: Path) -> Component:
    """A network in a folder of diffusers', or in that of its name in one of a whole model."""
    inner = CHECKPOINT_FOLDERS.get(name, name)
    if not (folder / "config.json").is_file() and (folder / inner / "config.json").is_file():
        folder = folder / inner
    config = read_json(folder / "config.json")
    if name in TEXT_ENCODERS and isinstance(config.get("text_config"), dict):
        config = config["text_config"]  # of a whole CLIP, as transformers reads it
    return Component(name, folder, config)


def lacking(model: Model) -> str | None:
    """What a single file lacks that nobody gave, and the options that give it; None where it is whole."""
    if model.contents is None:
        return None
    wanted = unet_of(model.contents)[1].text_encoders
    lacks = (
        {"text encoder": "--text-encoder FILE"}
        if any(name not in model.components for name in wanted)
        else {}
    )
    if "vae_decoder" not in model.components:
        lacks["autoencoder"] = "--vae FILE"
    if not lacks:
        return None
    return (
        f"holds {model.family} without {' and '.join(lacks)}; add {' '.join(lacks.values())}, "
        "from a file or folder of a model of its family. Or give the file with --unet beside such a model"
    )
