"""A checkpoint in one file: what its header tells becomes a model, over the file's own tensors.

The UNet's shapes decide what it is. What no tensor tells comes from the family (`families.py`), from markers and
metadata (`prediction.py`), or from a .yaml beside the file; what was taken from a name is noted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.models.architecture import read_architecture
from latentrt.models.component import Component
from latentrt.models.contents import Contents, Encoder, read_contents
from latentrt.models.derive import text_config, unet_config, vae_config
from latentrt.models.families import SD2, Family, family_of, name_of
from latentrt.models.few_steps import few_steps_of
from latentrt.models.model import TEXT_ENCODERS, Model
from latentrt.models.prediction import Prediction, asked, prediction_of
from latentrt.models.weights import Weights

VAE_HALVES = ("vae_encoder", "vae_decoder")
# What a scheduler config says of the prediction.
_PREDICTING = ("prediction_type", "rescale_betas_zero_snr")


def open_single_file(file: Path, prediction_type: str | None = None) -> Model:
    """Open a checkpoint in one file. It may lack an autoencoder or text encoders.

    Args:
        file: safetensors, in the names of the original code or in diffusers'.
        prediction_type: what the UNet predicts, where the user says it.

    Raises:
        WeightsError: it is no whole safetensors file.
        ModelError: it is of another kind, or has no UNet.
    """
    contents = read_contents(file)
    if not contents.unet:
        _refuse_part(contents)
    unet, family, yaml = unet_of(contents)
    said = prediction_of(contents, family, unet, yaml)
    if prediction_type is not None:
        said = asked(family, prediction_type)
    unet["sample_size"] = said.sample_size or family.sample_size
    scheduler, defaults, notes = advice_of(contents, unet, family, said)
    components = {"unet": component_of("unet", contents, unet)}
    for name, encoder in _encoders(contents, family).items():
        components[name] = text_component(name, contents, encoder, family)
    if contents.vae:
        config = {**family.vae, **said.vae, **vae_config(contents.vae, str(file))}
        components |= vae_components(contents, config)
    attentions = sum(name.endswith(".attn2.to_k.weight") for name in contents.unet)
    return Model(
        name=file.stem,
        root=file,
        index={"_class_name": family.pipeline, **family.index},
        components=components,
        scheduler_config=scheduler,
        defaults=defaults,
        family=name_of(family, unet, attentions),
        prediction_why=said.why,
        contents=contents,
        pad_tokens=family.pad_tokens,
        notes=notes,
        low_res_config=family.low_res,
    )


def unet_of(contents: Contents) -> tuple[dict[str, Any], Family, Mapping[str, Any]]:
    """The config of a file's UNet, its family, and what a .yaml beside the file says."""
    where = str(contents.file)
    yaml = read_architecture(contents.file.with_suffix(".yaml"))
    unet = unet_config(contents.unet, where, yaml.get("unet", {}))
    only = contents.text_encoders[0] if len(contents.text_encoders) == 1 else None
    family = family_of(unet, only is not None and only.is_open_clip, where)
    return unet | {"upcast_attention": family.upcast}, family, yaml


def advice_of(
    contents: Contents, unet: Mapping[str, Any], family: Family, said: Prediction
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """The scheduler config and the defaults of a file, and what was taken for granted in them."""
    name = contents.file.name
    titles = (contents.file.stem, contents.metadata.get("modelspec.title", ""))
    for title in () if said.continuous else titles:
        few = few_steps_of(title, "time_cond_proj_dim" in unet, "addition_embed_type" in unet)
        if few is not None:
            by = "by its tensors" if "time_cond_proj_dim" in unet else f"by its name, {title}"
            note = f"{name}: taken for a model of few steps, {few.name}, {by}"
            scheduler = dict(few.scheduler)
            if said.type != "epsilon":  # a name tells of steps, and a marker of what is predicted
                scheduler |= {key: said.scheduler[key] for key in _PREDICTING if key in said.scheduler}
            return scheduler, {**family.defaults, **few.defaults}, (note,)
    notes = []
    if family is SD2 and not said.is_said:
        notes.append(
            f"{name}: taken to predict {said.type}: {said.why}; where that is wrong, give --prediction-type"
        )
    return dict(said.scheduler), {**family.defaults, **said.defaults}, tuple(notes)


def component_of(name: str, contents: Contents, config: Mapping[str, Any]) -> Component:
    """One of a file's networks."""
    tensors = contents.unet if name == "unet" else contents.vae
    return Component(name, contents.file.parent, config, held=Weights.of(tensors))


def vae_components(contents: Contents, config: Mapping[str, Any]) -> dict[str, Component]:
    """Both halves of a file's autoencoder."""
    fp32_only = config.get("force_upcast") is True
    weights = Weights.of(contents.vae)
    return {
        name: Component(name, contents.file.parent, config, fp32_only, held=weights) for name in VAE_HALVES
    }


def text_component(name: str, contents: Contents, encoder: Encoder, family: Family) -> Component:
    """One of a file's text encoders.

    Raises:
        ModelError: it is SDXL's second and lacks what makes one row of a text.
    """
    where = str(contents.file)
    config = text_config(encoder.tensors, encoder.is_open_clip, where)
    if family.text_layers is not None:
        config["num_hidden_layers"] = min(config["num_hidden_layers"], family.text_layers)
        config["architectures"] = ["CLIPTextModel"]  # its projection is never used, and may be made up
    elif name == TEXT_ENCODERS[1] and "text_projection.weight" not in encoder.tensors:
        raise ModelError(
            f"{where}: its second text encoder has no text_projection; give a whole one with --text-encoder"
        )
    elif name == TEXT_ENCODERS[0]:
        config["architectures"] = ["CLIPTextModel"]
    return Component(name, contents.file.parent, config, held=Weights.of(encoder.tensors))


def is_second(contents: Contents, encoder: Encoder) -> bool:
    """Whether a file's text encoder is of SDXL's two the second: OpenCLIP's."""
    config = text_config(encoder.tensors, encoder.is_open_clip, str(contents.file))
    return str(config["hidden_act"]) == "gelu"


def _encoders(contents: Contents, family: Family) -> dict[str, Encoder]:
    """A file's text encoders by what they are to the family: of two, the second is OpenCLIP's.

    Raises:
        ModelError: there are more than the family has, or two of a kind.
    """
    names = family.text_encoders
    found: dict[str, Encoder] = {}
    for encoder in contents.text_encoders:
        name = names[-1] if is_second(contents, encoder) else names[0]
        if name in found:
            raise ModelError(
                f"{contents.file}: has {len(contents.text_encoders)} text encoders; {family.name} has {len(names)}"
            )
        found[name] = encoder
    return {name: found[name] for name in names if name in found}


def _refuse_part(contents: Contents) -> None:
    parts = {
        "an autoencoder": contents.vae,
        "text encoders": contents.text_encoders,
        f"{len(contents.unknown)} tensors that are not known here": contents.unknown,
    }
    option = "--vae" if contents.vae else "--text-encoder"
    raise ModelError(
        f"{contents.file}: holds {' and '.join(name for name, part in parts.items() if part)}, but no UNet of Stable "
        f"Diffusion's: it is a part of a model. Give it with {option}, and with --model the model that it is for"
    )
