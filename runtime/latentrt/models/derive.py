"""The configs of networks from their tensors: a single file carries none, and its shapes say nearly all.

What no shape says is the number of heads: 8 in every level of Stable Diffusion 1.x and of the x4 upscaler, and 64
channels to a head in all else that came later. Norms have 32 groups in every published model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from latentrt.errors import ModelError
from latentrt.models.safetensors import Tensor

Tensors = Mapping[str, Tensor]

HEAD_WIDTH = 64
SD1_HEADS = 8
TIME_WIDTH = 256  # of the sinusoids of one number that SDXL's UNet is told
SD1_CONTEXT = 768
LATER_CONTEXTS = (1024, 1280, 2048)  # of Stable Diffusion 2.x, SDXL's refiner, SDXL
# Widths of OpenCLIP's ViT-H and ViT-bigG, which have another activation than OpenAI's CLIP.
_GELU_WIDTHS = (1024, 1280)

# What stands behind a tensor that each layer has once, and what stands before it.
_TRANSFORMER = (".norm1.weight", re.compile(r"(.+)\.attentions\.([0-9]+)\.transformer_blocks\.([0-9]+)"))
_TEXT_LAYER = re.compile(r"text_model\.encoder\.layers\.([0-9]+)\.")
_RESNET = (".conv1.weight", re.compile(r"(.+)\.resnets\.([0-9]+)"))


def unet_config(tensors: Tensors, where: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """What diffusers' config.json of this UNet would say; without `sample_size`, which no tensor tells.

    Args:
        tensors: by diffusers' names.
        where: for messages.
        known: settings that something else says, which count.

    Raises:
        ModelError: a tensor that every UNet has is missing.
    """
    shape = _Shapes(tensors, where)
    layers = _counts(_RESNET, tensors)
    depths = _counts(_TRANSFORMER, tensors)
    levels = sum(block.startswith("down_blocks.") for block in layers)
    down = [f"down_blocks.{level}" for level in range(levels)]
    up = [f"up_blocks.{level}" for level in range(levels)]
    if not levels or any(block not in layers for block in (*down, *up)):
        raise ModelError(f"{where}: its UNet lacks whole levels; the file is damaged or cut")
    widths = [shape(f"{block}.resnets.0.conv1.weight", 4)[0] for block in down]
    attending = [block for block in depths if block != "mid_block"]
    context = {shape(f"{b}.attentions.0.transformer_blocks.0.attn2.to_k.weight", 2)[1] for b in depths}
    if len(context) != 1 or not attending:
        raise ModelError(
            f"{where}: its UNet attends to no text, or to several; expected one of Stable Diffusion's"
        )
    (context_width,) = context
    inner = next(iter(attending))
    linear = len(shape(f"{inner}.attentions.0.proj_in.weight")) == 2
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "in_channels": shape("conv_in.weight", 4)[1],
        "out_channels": shape("conv_out.weight", 4)[0],
        "block_out_channels": widths,
        "layers_per_block": _one_or_all([max(layers[block]) + 1 for block in down]),
        "down_block_types": ["CrossAttnDownBlock2D" if b in depths else "DownBlock2D" for b in down],
        "up_block_types": ["CrossAttnUpBlock2D" if b in depths else "UpBlock2D" for b in up],
        "mid_block_type": _middle(layers, depths),
        "cross_attention_dim": context_width,
        "use_linear_projection": linear,
        **_depths(down, up, layers, depths, where),
    }
    if "class_embedding.weight" in tensors:  # the x4 upscaler
        config["num_class_embeds"] = shape("class_embedding.weight", 2)[0]
        config["attention_head_dim"] = SD1_HEADS
    elif "attention_head_dim" not in known:
        config["attention_head_dim"] = heads_of(
            widths, context_width, linear, "down_blocks.0" in depths, where
        )
    only = [shape(f"{b}.attentions.0.transformer_blocks.0.attn1.to_k.weight", 2) for b in down if b in depths]
    if any(wide[1] != wide[0] for wide in only):
        config["only_cross_attention"] = [
            b in depths and len(set(shape(f"{b}.attentions.0.transformer_blocks.0.attn1.to_k.weight", 2))) > 1
            for b in down
        ]
    if "add_embedding.linear_1.weight" in tensors:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": TIME_WIDTH,
            "projection_class_embeddings_input_dim": shape("add_embedding.linear_1.weight", 2)[1],
        }
    if "time_embedding.cond_proj.weight" in tensors:
        config["time_cond_proj_dim"] = shape("time_embedding.cond_proj.weight", 2)[1]
    return config | dict(known)


def vae_config(tensors: Tensors, where: str) -> dict[str, Any]:
    """What diffusers' config.json of this autoencoder would say; without its scaling, which no tensor tells.

    Raises:
        ModelError: a tensor that every autoencoder of this kind has is missing.
    """
    shape = _Shapes(tensors, where)
    layers = _counts(_RESNET, tensors)
    up = sorted(
        (b for b in layers if b.startswith("decoder.up_blocks.")), key=lambda b: int(b.split(".")[-1])
    )
    if not up:
        raise ModelError(f"{where}: its autoencoder lacks the decoder's levels; the file is damaged or cut")
    widths = [shape(f"{block}.resnets.0.conv1.weight", 4)[0] for block in reversed(up)]
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": shape("encoder.conv_in.weight", 4)[1] if "encoder.conv_in.weight" in tensors else 3,
        "out_channels": shape("decoder.conv_out.weight", 4)[0],
        "latent_channels": shape("decoder.conv_in.weight", 4)[1],
        "block_out_channels": widths,
        "layers_per_block": max(layers[up[0]]),
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "use_quant_conv": "quant_conv.weight" in tensors,
        "use_post_quant_conv": "post_quant_conv.weight" in tensors,
        "mid_block_add_attention": any(
            name.startswith("decoder.mid_block.attentions.0.") for name in tensors
        ),
    }


def text_config(tensors: Tensors, is_open_clip: bool, where: str) -> dict[str, Any]:
    """What transformers' config.json of this text encoder would say.

    Args:
        tensors: by transformers' names.
        is_open_clip: the file bore OpenCLIP's names.
        where: for messages.

    Raises:
        ModelError: a tensor that every text encoder of this kind has is missing.
    """
    shape = _Shapes(tensors, where)
    rows, width = shape("text_model.embeddings.token_embedding.weight", 2)
    found = map(_TEXT_LAYER.match, tensors)
    projects = "text_projection.weight" in tensors
    return {
        "architectures": ["CLIPTextModelWithProjection" if projects else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": shape("text_model.encoder.layers.0.mlp.fc1.weight", 2)[0],
        "max_position_embeddings": shape("text_model.embeddings.position_embedding.weight", 2)[0],
        "num_attention_heads": max(width // HEAD_WIDTH, 1),
        "num_hidden_layers": max(int(m[1]) for m in found if m) + 1,
        "hidden_act": "gelu" if is_open_clip or width in _GELU_WIDTHS else "quick_gelu",
        "projection_dim": shape("text_projection.weight", 2)[0] if projects else width,
        "eos_token_id": 49407,
    }


class _Shapes:
    """Shapes by name; what is missing is named."""

    def __init__(self, tensors: Tensors, where: str) -> None:
        self._tensors = tensors
        self._where = where

    def __call__(self, name: str, axes: int | None = None) -> tuple[int, ...]:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ModelError(f"{self._where}: tensor {name} is missing; the file is damaged or cut")
        if (axes is not None and len(tensor.shape) != axes) or not all(tensor.shape):
            expected = "another shape" if axes is None else f"{axes} axes"
            raise ModelError(
                f"{self._where}: tensor {name} ({tensor.name}) has shape {tensor.shape}; expected {expected}"
            )
        return tensor.shape


def _counts(sign: tuple[str, re.Pattern[str]], tensors: Tensors) -> dict[str, list[int]]:
    """By block: the index of each of its layers, or, of a pattern with two numbers, how deep each is."""
    ending, pattern = sign
    found: dict[str, dict[int, int]] = {}
    for name in tensors:
        if name.endswith(ending) and (match := pattern.fullmatch(name.removesuffix(ending))):
            layer, depth = int(match[2]), int(match[3]) + 1 if match.re.groups > 2 else 0
            block = found.setdefault(match[1], {})
            block[layer] = max(block.get(layer, 0), depth)
    deep = pattern.groups > 2
    return {block: [layers[i] if deep else i for i in sorted(layers)] for block, layers in found.items()}


def _middle(layers: Mapping[str, list[int]], depths: Mapping[str, list[int]]) -> str | None:
    if "mid_block" in depths:
        return "UNetMidBlock2DCrossAttn"
    return "UNetMidBlock2D" if "mid_block" in layers else None


def _depths(
    down: list[str],
    up: list[str],
    layers: Mapping[str, list[int]],
    depths: Mapping[str, list[int]],
    where: str,
) -> dict[str, Any]:
    """How many blocks of attention stand behind each residual block; one that has none says 1, which nobody reads."""
    falling = [depths.get(block, [1] * len(layers[block])) for block in down]
    if "mid_block" in depths and down[-1] not in depths:
        falling[-1] = [depths["mid_block"][0]] * len(falling[-1])
    rising = [depths.get(block, [1] * len(layers[block])) for block in up]
    if down[-1] not in depths:
        rising[0] = [falling[-1][0]] * len(rising[0]) if up[0] not in depths else rising[0]
    if "mid_block" in depths and depths["mid_block"] != falling[-1][:1]:
        raise ModelError(
            f"{where}: its UNet's middle has {depths['mid_block']} blocks of attention, its last level {falling[-1]}; "
            "expected as many"
        )
    per_level = all(len(set(level)) == 1 for level in falling)
    mirrored = per_level and all(
        set(level) == {deep[0]} for level, deep in zip(rising, falling[::-1], strict=True)
    )
    told: dict[str, Any] = {
        "transformer_layers_per_block": [deep[0] for deep in falling] if per_level else falling
    }
    return told if mirrored else told | {"reverse_transformer_layers_per_block": rising}


def heads_of(
    widths: Sequence[int], context: int, linear: bool, first_attends: bool, where: str
) -> int | list[int]:
    """Heads of each level, which no tensor tells: 8 in Stable Diffusion 1.x, later one for each 64 channels."""
    later = context in LATER_CONTEXTS or (linear and context != SD1_CONTEXT) or not first_attends
    if not later:
        return SD1_HEADS
    if any(width % HEAD_WIDTH for width in widths):
        raise ModelError(
            f"{where}: its UNet has levels of {widths} channels, and no tensor says how many heads attend in them; "
            f"expected multiples of {HEAD_WIDTH}, as in published models. Put a .yaml of its architecture beside it "
            "(unet_config's num_heads or num_head_channels), or use its diffusers folder."
        )
    return [width // HEAD_WIDTH for width in widths]


def _one_or_all(counts: list[int]) -> int | list[int]:
    return counts[0] if len(set(counts)) == 1 else counts
