"""Files of tensors that are something else than a Stable Diffusion: known by a name in them, refused by their own."""

import re
from collections.abc import Iterable
from pathlib import Path

from latentrt.errors import ModelError

_OTHER_NETWORK = "it is another network than Stable Diffusion's UNet, and does not run here"
_ADAPTER = "it changes a model, and is none: give the model that it was made for"
# What a tensor's name says of its file, and what follows; the first that fits counts. These networks may lie beside
# text encoders and autoencoders like ours,
_NETWORKS = (
    (r"joint_blocks\.\d+\.(context_block|x_block)\.", "a Stable Diffusion 3", _OTHER_NETWORK),
    (r"(double|single)_blocks\.\d+\.|single_transformer_blocks\.\d+\.", "a Flux", _OTHER_NETWORK),
    (r"(^|\.)clip_txt_mapper\.weight|\.channelwise\.0\.weight", "a Stable Cascade", _OTHER_NETWORK),
    (r"(^|\.)(adaln_single|t_block|caption_projection)\.", "a PixArt", _OTHER_NETWORK),
    (r"(^|\.)encoder_hid_proj\.weight", "a Kolors", "its text encoder is another than CLIP, and does not run here"),
    (r"(^|\.)(motion_modules|temporal_transformer|time_stack|temporal_blocks?|temp_attentions)\.", "a video model",
     "latentrt paints pictures; it does not run here"),
    (r"(^|\.)embedder\.model\.visual\.", "an unCLIP", "it is told a picture in place of a text, and does not run here"),
)  # fmt: skip
# and these are files of their own.
_ALONE = (
    (r"(^|[._])lora_(up|down|A|B)\.|^lora_(unet|te|te1|te2)_|\.hada_w1|\.lokr_w1|\.oft_blocks|\.processor\.\w+_lora\.",
     "a LoRA", _ADAPTER),
    (r"(^|\.)(zero_convs|input_hint_block|controlnet_(cond_embedding|down_blocks|mid_block))\.", "a ControlNet",
     _ADAPTER),
    (r"^(image_proj|ip_adapter)\.", "an IP-Adapter", _ADAPTER),
    (r"^(adapter\.)?body\.\d+\.", "a T2I-Adapter or an upscaler", _ADAPTER),
    (r"^(emb_params|string_to_param|\*|clip_[lg])$", "an embedding (textual inversion)", _ADAPTER),
    (r"(^|\.)vision_model\.", "an image encoder", _ADAPTER),
    (r"^(encoder\.)?block\.0\.layer\.0\.SelfAttention\.|^shared\.weight$", "a T5 text encoder", _OTHER_NETWORK),
    (r"^(params_ema\.)?(conv_first|RRDB_trunk|layers\.0\.residual_group)\b|^model\.1\.sub\.", "an upscaler", _ADAPTER),
)  # fmt: skip


def refuse_other_kinds(file: Path, names: Iterable[str], alone: bool) -> None:
    """Say what a file is that does not run here.

    Args:
        file: for messages.
        names: of its tensors.
        alone: nothing that is known here was found in it.

    Raises:
        ModelError: a name in it says so.
    """
    listed = list(names)
    for pattern, what, then in (*_NETWORKS, *(_ALONE if alone else ())):
        sign = re.compile(pattern)
        if (found := next((name for name in listed if sign.search(name)), None)) is not None:
            raise ModelError(
                f"{file}: is {what} (it holds {found}): {then}. Expected a checkpoint of Stable Diffusion 1.x, 2.x or "
                "XL, or one of its networks."
            )
