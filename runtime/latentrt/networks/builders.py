"""From a network's config.json to its weight-free graph.

Graphs are written node by node, not traced: neither torch nor weights are needed, no traced size can be baked in, and
the same configuration gives the same bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from latentrt.errors import ModelError
from latentrt.networks.autoencoder import build_vae_decoder, build_vae_encoder
from latentrt.networks.graph import Graph
from latentrt.networks.options import Options
from latentrt.networks.taesd import build_taesd_decoder, build_tiny_vae_decoder, build_tiny_vae_encoder
from latentrt.networks.text_encoder import build_projecting_text_encoder, build_text_encoder
from latentrt.networks.unconditional import build_unconditional_unet
from latentrt.networks.unet import build_unet
from latentrt.networks.variant import Variant

Builder: TypeAlias = Callable[[Options, Variant], Graph]

TINY = "AutoencoderTiny"
# What a network does in a model -> the classes of diffusers and transformers that do it, the usual one first.
BUILDERS: dict[str, dict[str, Builder]] = {
    "text_encoder": {
        "CLIPTextModel": build_text_encoder,
        "CLIPTextModelWithProjection": build_projecting_text_encoder,
    },
    "unet": {"UNet2DConditionModel": build_unet},
    "unconditional_unet": {"UNet2DModel": build_unconditional_unet},
    "vae_encoder": {"AutoencoderKL": build_vae_encoder, TINY: build_tiny_vae_encoder},
    "vae_decoder": {"AutoencoderKL": build_vae_decoder, TINY: build_tiny_vae_decoder},
    "taesd_decoder": {TINY: build_taesd_decoder},
}
_INT8 = (build_unet, build_vae_decoder)  # what takes nearly all of a picture's time, see `int8.py`


def build(
    component: str,
    config: Mapping[str, Any],
    variant: Variant | None = None,
    where: str | None = None,
    class_name: str | None = None,
) -> Graph:
    """The weight-free graph of one network, in the format of docs/architecture.md.

    Args:
        component: a key of `BUILDERS`.
        config: the content of its config.json; both halves of a VAE have the same.
        variant: what is wanted of it; None: the default.
        where: what the config was read from, for messages.
        class_name: of the network, where the model's index says it, which then counts; None: what the config says.

    Raises:
        ModelError: there is no such component, it has no such variant, or a setting has no graph here; the message
            names it and its value.
    """
    if component not in BUILDERS:
        raise ModelError(f"{component}: no such component; expected one of {', '.join(BUILDERS)}")
    o = Options(f"{component}: config.json" if where is None else where, config)
    builder = BUILDERS[component][class_of(component, o, class_name)]
    if variant is not None and variant.compute == "int8" and builder not in _INT8:
        raise ModelError(f"{component}: has no graph in int8; expected fp16 or fp32")
    graph = builder(o, Variant() if variant is None else variant)
    o.finish()
    return graph


def has_int8(component: str, config: Mapping[str, Any], class_name: str | None = None) -> bool:
    """Whether a network has a graph in 8-bit integers; arguments and errors as `build`'s."""
    named = class_of(component, Options(f"{component}: config.json", config), class_name)
    return BUILDERS[component][named] in _INT8


def class_of(component: str, o: Options, named: str | None) -> str:
    """The class of a network: what the index says, else the config, else the component's usual one.

    Args:
        component: a key of `BUILDERS`.
        o: its config.
        named: what the model's index says, if anything.

    Raises:
        ModelError: it is none that has a graph here.
    """
    classes = tuple(BUILDERS[component])
    own, architectures = o.get("_class_name"), o.get("architectures")
    if named is not None:
        if named not in classes:
            raise ModelError(
                f"{component}: model_index.json says it is a {named}; expected {' or '.join(classes)}"
            )
        return named
    if own is None and architectures:
        name = architectures[0] if isinstance(architectures, list) and len(architectures) == 1 else None
        if name not in classes:
            raise o.unsupported("architectures", architectures, " or ".join(repr([one]) for one in classes))
        return str(name)
    return str(o.choice("_class_name", *classes))
