"""Files of tensors that are something else than a Stable Diffusion: known by a name in them, refused by their own."""

import re
from collections.abc import Mapping
from pathlib import Path

from latentrt.errors import ModelError
from latentrt.models.safetensors import Tensor

_OTHER_NETWORK = "it is another network than Stable Diffusion's UNet, and does not run here"
_ADAPTER = "it changes a model, and is none: give the model that it was made for"
_VIDEO = ("a video model", "latentrt paints pictures; it does not run here")
# What a tensor's name says of its file, and what follows; the first that fits counts. These networks may lie beside
# text encoders and autoencoders like ours,
_NETWORKS = (
    (r"(^|\.)(motion_modules|temporal_transformer|time_stack|temporal_blocks?|temp_attentions)\.", *_VIDEO),
    (r"joint_blocks\.\d+\.(context_block|x_block)\.", "a Stable Diffusion 3", _OTHER_NETWORK),
    (r"(double|single)_blocks\.\d+\.|single_transformer_blocks\.\d+\.", "a Flux", _OTHER_NETWORK),
    (r"(^|\.)context_embedder\.", "a Stable Diffusion 3", _OTHER_NETWORK),
    (r"(^|\.)clip_txt_mapper\.weight|\.channelwise\.0\.weight", "a Stable Cascade", _OTHER_NETWORK),
    (r"(^|\.)(adaln_single|t_block|caption_projection)\.", "a PixArt", _OTHER_NETWORK),
    (r"\.add_k_proj\.", "a DeepFloyd IF or Kandinsky", _OTHER_NETWORK),
    (r"(^|\.)encoder_hid_proj\.weight", "a Kolors", "its text encoder is another than CLIP, and does not run here"),
    (r"(^|\.)(embedder\.model\.visual|class_embedding\.linear_1)\.", "an unCLIP",
     "it is told a picture in place of a text, and does not run here"),
)  # fmt: skip
# and these are files of their own.
_ALONE = (
    (r"^(image_proj|ip_adapter)\.", "an IP-Adapter", _ADAPTER),
    (r"(^|\.)(zero_convs|input_hint_block|controlnet_(cond_embedding|down_blocks|mid_block))\.|^(lora_controlnet$|lllite_)",
     "a ControlNet", _ADAPTER),
    (r"(^|[._])lora_(up|down|A|B|linear_layer)\.|\.lora\.(up|down)\.|_lora\.(up|down)\.|^(lora|oft)_(unet|te|te1|te2)_|^lycoris_"
     r"|\.(hada|lokr)_w\d|\.oft_blocks", "a LoRA", _ADAPTER),
    (r"^(params_ema\.)?(conv_first|RRDB_trunk|layers\.0\.residual_group)\b|^model\.1\.sub\.", "an upscaler", _ADAPTER),
    (r"^(adapter\.)?body\.\d+\.", "a T2I-Adapter or an upscaler", _ADAPTER),
    (r"^(emb_params$|string_to_(param|token)\b|\*$|clip_[lg]$)", "an embedding (textual inversion)", _ADAPTER),
    (r"(^|\.)vision_model\.|(^|\.)visual\.(conv1|transformer)\.", "an image encoder", _ADAPTER),
    (r"^(encoder\.)?block\.0\.layer\.0\.SelfAttention\.|^shared\.weight$", "a T5 text encoder", _OTHER_NETWORK),
)  # fmt: skip
_VECTORS = (768, 1024, 1280)  # widths of the text encoders' tables, of which an embedding is rows


def refuse_other_kinds(file: Path, tensors: Mapping[str, Tensor], alone: bool) -> None:
    """Say what a file is that does not run here.

    Args:
        file: for messages.
        tensors: of the file, that nothing here claimed.
        alone: nothing claimed any.

    Raises:
        ModelError: a name in it says so, or a shape.
    """
    videos = (name for name, tensor in tensors.items() if len(tensor.shape) == 5)  # convolutions over time
    if (found := next(videos, None)) is not None:
        raise _error(file, *_VIDEO, found)
    for pattern, what, then in (*_NETWORKS, *(_ALONE if alone else ())):
        sign = re.compile(pattern)
        if (found := next(filter(sign.search, tensors), None)) is not None:
            raise _error(file, what, then, found)
    if alone and 0 < len(tensors) <= 2 and all(_is_vectors(tensor) for tensor in tensors.values()):
        raise _error(file, "an embedding (textual inversion)", _ADAPTER, next(iter(tensors)))


def _is_vectors(tensor: Tensor) -> bool:
    return len(tensor.shape) in (1, 2) and tensor.shape[-1] in _VECTORS


def _error(file: Path, what: str, then: str, found: str) -> ModelError:
    return ModelError(
        f"{file}: is {what} (it holds {found}): {then}. Expected a checkpoint of Stable Diffusion 1.x, 2.x or XL, or "
        "one of its networks."
    )
