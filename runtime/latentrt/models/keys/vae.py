"""The autoencoder's tensors: names of the latent diffusion code and of diffusers.

The original counts the decoder's levels from the pixels, diffusers from the latents.
"""

import re
from collections.abc import Iterable

_MODULES = {"nin_shortcut": "conv_shortcut", "norm_out": "conv_norm_out"}
_MODULES_BACK = {theirs: ours for ours, theirs in _MODULES.items()}
_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
# What diffusers called them before 0.12, too.
_ATTENTION_BACK = {theirs: ours for ours, theirs in _ATTENTION.items()} | {
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_KEPT = ("conv_in", "conv_out", "norm1", "conv1", "norm2", "conv2")

_LEVEL = re.compile(r"(encoder\.down|decoder\.up)\.([0-9]{1,2})\.(.+)")
_RESNET = re.compile(r"block\.([0-9]{1,2})\.(.+)")
_SAMPLER = re.compile(r"(?:down|up)sample\.conv\.(.+)")
_DIFFUSERS_LEVEL = re.compile(r"(encoder\.down|decoder\.up)_blocks\.([0-9]{1,2})\.(.+)")
_DIFFUSERS_RESNET = re.compile(r"resnets\.([0-9]{1,2})\.(.+)")
_DIFFUSERS_SAMPLER = re.compile(r"(?:down|up)samplers\.0\.conv\.(.+)")
_MIDDLE = re.compile(r"(encoder|decoder)\.mid\.(block_[12]|attn_1)\.(.+)")
_DIFFUSERS_MIDDLE = re.compile(r"(encoder|decoder)\.mid_block\.(resnets\.[01]|attentions\.0)\.(.+)")


def levels(names: Iterable[str]) -> int:
    """How many resolutions there are, in either's names."""
    found = (_LEVEL.fullmatch(name) or _DIFFUSERS_LEVEL.fullmatch(name) for name in names)
    return 1 + max((int(match[2]) for match in found if match), default=0)


def from_ldm(name: str, count: int) -> str | None:
    """A tensor's name in diffusers, where there are so many levels; None where the original has no such tensor."""
    if match := _LEVEL.fullmatch(name):
        side, index, rest = match[1], int(match[2]), match[3]
        index = index if side == "encoder.down" else count - 1 - index
        where = f"{side}_blocks.{index}"
        if inner := _RESNET.fullmatch(rest):
            return _renamed(f"{where}.resnets.{inner[1]}", inner[2], _MODULES)
        if inner := _SAMPLER.fullmatch(rest):
            return f"{where}.{side.partition('.')[2]}samplers.0.conv.{inner[1]}"
        return None
    if match := _MIDDLE.fullmatch(name):
        half, module, rest = match[1], match[2], match[3]
        if module == "attn_1":
            return _renamed(f"{half}.mid_block.attentions.0", rest, _ATTENTION, kept=())
        return _renamed(f"{half}.mid_block.resnets.{int(module[-1]) - 1}", rest, _MODULES)
    return _end(name, _MODULES)


def to_ldm(name: str, count: int) -> str | None:
    """A tensor's name in the original, where there are so many levels; None where diffusers has no such tensor."""
    if match := _DIFFUSERS_LEVEL.fullmatch(name):
        side, index, rest = match[1], int(match[2]), match[3]
        index = index if side == "encoder.down" else count - 1 - index
        if inner := _DIFFUSERS_RESNET.fullmatch(rest):
            return _renamed(f"{side}.{index}.block.{inner[1]}", inner[2], _MODULES_BACK)
        if inner := _DIFFUSERS_SAMPLER.fullmatch(rest):
            return f"{side}.{index}.{side.partition('.')[2]}sample.conv.{inner[1]}"
        return None
    if match := _DIFFUSERS_MIDDLE.fullmatch(name):
        half, module, rest = match[1], match[2], match[3]
        if module == "attentions.0":
            return _renamed(f"{half}.mid.attn_1", rest, _ATTENTION_BACK, kept=())
        return _renamed(f"{half}.mid.block_{int(module[-1]) + 1}", rest, _MODULES_BACK)
    return _end(name, _MODULES_BACK)


def _end(name: str, table: dict[str, str]) -> str | None:
    """A tensor outside of the levels."""
    half, _, rest = name.partition(".")
    if half in ("encoder", "decoder"):
        return _renamed(half, rest, table)
    return name if half in ("quant_conv", "post_quant_conv") else None


def _renamed(where: str, rest: str, table: dict[str, str], kept: tuple[str, ...] = _KEPT) -> str | None:
    module, _, leaf = rest.rpartition(".")
    if module in kept:
        return f"{where}.{module}.{leaf}"
    return f"{where}.{table[module]}.{leaf}" if module in table else None
