"""From a component's config.json to the weight-free graph that computes it, if one is shipped.

A fingerprint is taken over those settings that decide the architecture, with the defaults of the component's class
filled in: configurations written by older versions leave newer settings out. A setting that is unknown here takes part
as soon as it says anything, so that an architecture that is not known never passes for one that is.
"""

import gzip
import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from latentrt.errors import GraphError

# The architecture's settings and the defaults of diffusers' UNet2DConditionModel, ...
_UNET: dict[str, Any] = {
    "act_fn": "silu",
    "addition_embed_type": None,
    "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": None,
    "attention_head_dim": 8,
    "attention_type": "default",
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_dim": 1280,
    "cross_attention_norm": None,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "num_attention_heads": None,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": None,
    "resnet_out_scale_factor": 1,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "reverse_transformer_layers_per_block": None,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "transformer_layers_per_block": 1,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "upcast_attention": False,
    "use_linear_projection": False,
}  # fmt: skip
# ... of its AutoencoderKL, ...
_VAE: dict[str, Any] = {
    "act_fn": "silu",
    "block_out_channels": [64],
    "down_block_types": ["DownEncoderBlock2D"],
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "up_block_types": ["UpDecoderBlock2D"],
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
# ... of its AutoencoderTiny, whose decoder alone is used, ...
_TINY: dict[str, Any] = {
    "act_fn": "relu",
    "decoder_block_out_channels": [64, 64, 64, 64],
    "latent_channels": 4,
    "num_decoder_blocks": [3, 3, 3, 1],
    "out_channels": 3,
    "upsample_fn": "nearest",
    "upsampling_scaling_factor": 2,
}
_TINY_IRRELEVANT = (
    "block_out_channels",
    "encoder_block_out_channels",
    "in_channels",
    "latent_magnitude",
    "latent_shift",
    "num_encoder_blocks",
)
# ... and of transformers' CLIPTextModel.
_CLIP: dict[str, Any] = {
    "eos_token_id": 49407,
    "hidden_act": "quick_gelu",
    "hidden_size": 512,
    "intermediate_size": 2048,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 77,
    "num_attention_heads": 8,
    "num_hidden_layers": 12,
    "vocab_size": 49408,
}
_DEFAULTS = {
    "unet": _UNET,
    "vae_encoder": _VAE,
    "vae_decoder": _VAE,
    "taesd_decoder": _TINY,
    "text_encoder": _CLIP,
}
# The class that a configuration must name, where it names one.
_CLASSES: dict[str, Mapping[str, Any]] = {
    "unet": {"_class_name": "UNet2DConditionModel"},
    "vae_encoder": {"_class_name": "AutoencoderKL"},
    "vae_decoder": {"_class_name": "AutoencoderKL"},
    "taesd_decoder": {"_class_name": "AutoencoderTiny"},
    "text_encoder": {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"},
}
# Settings that leave the graph as it is: of training, of storage, of what is done with the results.
_IRRELEVANT = frozenset(
    {
        "attention_dropout",
        "bos_token_id",
        "chunk_size_feed_forward",
        "dropout",
        "dtype",
        "force_upcast",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "latents_mean",
        "latents_std",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "projection_dim",
        "return_dict",
        "sample_size",
        "scaling_factor",
        "shift_factor",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
_PER_LEVEL = ("attention_head_dim", "layers_per_block", "transformer_layers_per_block")
_LEGACY_EOS = (
    2  # transformers' default before 4.31; it then takes the highest id in the prompt, which is the last
)


def fingerprint(component: str, config: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that two configurations share exactly when one graph computes both.

    Args:
        component: "text_encoder", "unet", "vae_encoder", "vae_decoder" or "taesd_decoder".
        config: the content of its config.json.

    Raises:
        GraphError: no such component.
    """
    if component not in _DEFAULTS:
        raise GraphError(f"{component}: no such component; expected one of {', '.join(_DEFAULTS)}")
    known, classes = _DEFAULTS[component], _CLASSES[component]
    settings = {key: config.get(key, default) for key, default in known.items()}
    for key, value in config.items():
        if key in classes:
            if value != classes[key]:
                settings[key] = value
        elif (
            key not in known
            and key not in _IRRELEVANT
            and not (known is _TINY and key in _TINY_IRRELEVANT)
            and not key.startswith("_")
            and value not in (None, False)
        ):
            settings[key] = value
    _unify(settings)
    canonical = json.dumps([component, _plain(settings)], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def find_graph(component: str, config: Mapping[str, Any]) -> str | None:
    """The name of the shipped graph that computes this component, or None."""
    entry = _index().get(fingerprint(component, config))
    return None if entry is None else entry["name"]


def load_graph(name: str, compute: str) -> bytes:
    """The ONNX bytes of a shipped graph, for "fp16" or "fp32" compute.

    Raises:
        GraphError: there is none of this name, or it is damaged.
    """
    file = importlib.resources.files("latentrt") / "graphs" / f"{name}.{compute}.onnx.gz"
    try:
        return gzip.decompress(file.read_bytes())
    except FileNotFoundError:
        raise GraphError(
            f"{name}.{compute}: no such graph is included; expected one of {', '.join(graph_names())}"
        ) from None
    except (OSError, EOFError) as error:
        raise GraphError(
            f"{name}.{compute}: the included graph is damaged ({error}); reinstall latentrt"
        ) from error


def graph_names() -> list[str]:
    """The names of all shipped graphs."""
    return sorted({entry["name"] for entry in _index().values()})


def _unify(settings: dict[str, Any]) -> None:
    """Give settings that say the same in two ways one of them, in place."""
    if settings.get("act_fn") == "swish":
        settings["act_fn"] = "silu"
    if settings.get("eos_token_id") == _LEGACY_EOS and isinstance(settings["vocab_size"], int):
        settings["eos_token_id"] = settings["vocab_size"] - 1
    widths = settings.get("block_out_channels")
    if "attention_head_dim" in settings:  # diffusers reads it as the number of heads where that is not given
        heads = settings.pop("num_attention_heads")
        settings["attention_head_dim"] = settings["attention_head_dim"] if heads is None else heads
    if "only_cross_attention" in settings:
        _unify_cross_attention(settings)
    for key in _PER_LEVEL:
        if isinstance(settings.get(key), int) and isinstance(widths, list | tuple):
            settings[key] = [settings[key]] * len(widths)


def _unify_cross_attention(settings: dict[str, Any]) -> None:
    """Make a list of one value for all levels that value; the middle block's flag null where that says the same."""
    only, levels = settings["only_cross_attention"], settings["down_block_types"]
    # diffusers lets the middle block follow the others where they are given as one flag, and not where as a list.
    following = only if isinstance(only, bool) else False
    middle = settings["mid_block_only_cross_attention"]
    middle = following if middle is None else middle
    for key in ("cross_attention_dim", "only_cross_attention"):
        value = settings[key]
        if not isinstance(value, list | tuple) or not isinstance(levels, list | tuple):
            continue
        if len(value) == len(levels) > 0 and all(item == value[0] for item in value):
            settings[key] = value[0]
    only = settings["only_cross_attention"]
    follows = middle == (only if isinstance(only, bool) else False)
    settings["mid_block_only_cross_attention"] = None if follows else middle


def _plain(value: Any) -> Any:
    """1.0 as 1 and tuples as lists, everywhere inside."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@cache
def _index() -> dict[str, dict[str, str]]:
    text = (importlib.resources.files("latentrt") / "graphs" / "index.json").read_text(encoding="utf-8")
    index: dict[str, dict[str, str]] = json.loads(text)
    return index
