"""The UNet's tensors: names of the latent diffusion code (CompVis, Stability AI's sgm) and of diffusers.

Where diffusers counts levels, and layers in each, the original counts blocks through: `layers` residual blocks a level
on the way down and one more on the way up, and a block for each downsampling. Names are those below the prefix that a
file gives the network (`contents.py`); what stands behind a module's name, `weight` or `bias`, stays.
"""

import re
from collections.abc import Collection, Iterable

# Inside of a residual block; inside of a block of attention all names are the same.
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "label_emb": "class_embedding",  # a table, of the x4 upscaler
    "time_embedding.cond_proj": "time_embedding.cond_proj",  # single files keep diffusers' name
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_RESNET_BACK = {theirs: ours for ours, theirs in _RESNET.items()}
_ENDS_BACK = {theirs: ours for ours, theirs in _ENDS.items()}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_MIDDLE_BACK = {theirs: ours for ours, theirs in _MIDDLE.items()}

_BLOCK = re.compile(r"(input_blocks|output_blocks)\.([0-9]{1,3})\.([0-9])\.(.+)")
_MIDDLE_BLOCK = re.compile(r"middle_block\.([012])\.(.+)")
_OP = re.compile(r"input_blocks\.([0-9]{1,3})\.0\.op\.weight")
_LEVEL = re.compile(r"(down|up)_blocks\.([0-9]{1,2})\.(resnets|attentions)\.([0-9]{1,2})\.(.+)")
_SAMPLER = re.compile(r"(?:(down)|(up))_blocks\.([0-9]{1,2})\.(?:down|up)samplers\.0\.conv\.(.+)")
_DIFFUSERS_MIDDLE = re.compile(r"mid_block\.((?:resnets|attentions)\.[01])\.(.+)")


def layers_per_block(names: Iterable[str]) -> int:
    """Residual blocks of each level on the way down, by where the first downsampling stands in the original's names."""
    downsamplings, blocks = [], 0
    for name in names:
        if not name.startswith("input_blocks."):
            continue
        if match := _OP.fullmatch(name):
            downsamplings.append(int(match[1]))
        elif match := _BLOCK.fullmatch(name):
            blocks = max(blocks, int(match[2]))
    return max((min(downsamplings) if downsamplings else blocks + 1) - 1, 1)


def from_ldm(name: str, layers: int) -> str | None:
    """A tensor's name in diffusers; None where the original has no such tensor.

    Args:
        name: in the original.
        layers: see `layers_per_block`.
    """
    if match := _BLOCK.fullmatch(name):
        side, count, part, rest = match.groups()
        index = int(count)
        if side == "output_blocks":
            level, layer = divmod(index, layers + 1)
            if rest.startswith("conv.") and part in "12":
                return f"up_blocks.{level}.upsamplers.0.{rest}"
            return _inside(f"up_blocks.{level}", layer, part, rest)
        if index:
            level, layer = divmod(index - 1, layers + 1)
            if layer == layers:
                is_op = part == "0" and rest.startswith("op.")
                return f"down_blocks.{level}.downsamplers.0.conv.{rest[3:]}" if is_op else None
            return _inside(f"down_blocks.{level}", layer, part, rest)
    elif match := _MIDDLE_BLOCK.fullmatch(name):
        where, rest = f"mid_block.{_MIDDLE[match[1]]}", match[2]
        return f"{where}.{rest}" if match[1] == "1" else _in_resnet(where, rest)
    module, _, leaf = name.rpartition(".")
    return f"{_ENDS[module]}.{leaf}" if module in _ENDS else None


def to_ldm(name: str, layers: int, names: Collection[str]) -> str | None:
    """A tensor's name in the original; None where diffusers has no such tensor.

    Args:
        name: in diffusers.
        layers: see `layers_per_block`.
        names: all of the network's in diffusers: an upsampling is counted behind the attention of its block.
    """
    if match := _LEVEL.fullmatch(name):
        side, level, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        index = level * (layers + 1) + layer
        where = f"input_blocks.{index + 1}" if side == "down" else f"output_blocks.{index}"
        if kind == "attentions":
            return f"{where}.1.{rest}"
        module, _, leaf = rest.rpartition(".")
        return f"{where}.0.{_RESNET_BACK[module]}.{leaf}" if module in _RESNET_BACK else None
    if match := _SAMPLER.fullmatch(name):
        level, rest = int(match[3]), match[4]
        index = level * (layers + 1) + layers
        if match[1]:
            return f"input_blocks.{index + 1}.0.op.{rest}"
        attends = f"up_blocks.{level}.attentions.{layers}.norm.weight" in names
        return f"output_blocks.{index}.{2 if attends else 1}.conv.{rest}"
    if match := _DIFFUSERS_MIDDLE.fullmatch(name):
        where, rest = match[1], match[2]
        if where not in _MIDDLE_BACK:
            return None
        module, _, leaf = rest.rpartition(".")
        if where.startswith("resnets"):
            rest = f"{_RESNET_BACK[module]}.{leaf}" if module in _RESNET_BACK else ""
        return f"middle_block.{_MIDDLE_BACK[where]}.{rest}" if rest else None
    module, _, leaf = name.rpartition(".")
    return f"{_ENDS_BACK[module]}.{leaf}" if module in _ENDS_BACK else None


def _inside(level: str, layer: int, part: str, rest: str) -> str | None:
    """A tensor of one layer: its residual block or its attention."""
    if part == "0":
        return _in_resnet(f"{level}.resnets.{layer}", rest)
    return f"{level}.attentions.{layer}.{rest}" if part == "1" else None


def _in_resnet(where: str, rest: str) -> str | None:
    module, _, leaf = rest.rpartition(".")
    return f"{where}.{_RESNET[module]}.{leaf}" if module in _RESNET else None
