"""OpenCLIP's text encoder in transformers' names: two are tables of rows, and one matrix is kept transposed."""

import re
from collections.abc import Iterable, Iterator, Mapping

from latentrt.models.safetensors import Tensor

_ENDS = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection.weight": "text_projection.weight",  # a linear layer's already, as ComfyUI saves it
}
_MODULES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_LAYER = re.compile(r"transformer\.resblocks\.([0-9]{1,3})\.(.+)")
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_BLOCK = "text_model.encoder.layers"


def from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under transformers' names; those that a text encoder has no use for are left out."""
    return {name: tensor for theirs, own in tensors.items() for name, tensor in _renamed(theirs, own)}


def _renamed(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name in _ENDS:
        yield _ENDS[name], tensor
    elif name == "text_projection" and len(tensor.shape) == 2:
        yield "text_projection.weight", tensor.transposed
    elif match := _LAYER.fullmatch(name):
        where, rest = f"{_BLOCK}.{match[1]}", match[2]
        module, _, leaf = rest.rpartition(".")
        if module in _MODULES:
            yield f"{where}.{_MODULES[module]}.{leaf}", tensor
        elif (
            rest in ("attn.in_proj_weight", "attn.in_proj_bias") and tensor.shape and tensor.shape[0] % 3 == 0
        ):
            count = tensor.shape[0] // 3
            for index, projection in enumerate(_PROJECTIONS):
                yield (
                    f"{where}.self_attn.{projection}.{rest.rpartition('_')[2]}",
                    tensor.rows(index * count, count),
                )


def to_open_clip(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """OpenCLIP's names, and which of transformers' make each up, one below the other; `text_projection` transposed.

    Args:
        names: of a text encoder's tensors in transformers.
    """
    back = {theirs: own for own, theirs in _ENDS.items() if own != "text_projection.weight"}
    modules = {theirs: own for own, theirs in _MODULES.items()}
    made: dict[str, tuple[str, ...]] = {}
    for name in names:
        match = re.fullmatch(rf"{re.escape(_BLOCK)}\.([0-9]+)\.(.+)", name)
        if name in back:
            made[back[name]] = (name,)
        elif name == "text_projection.weight":
            made["text_projection"] = (name,)
        elif match:
            module, _, leaf = match[2].rpartition(".")
            where = f"transformer.resblocks.{match[1]}"
            if module in modules:
                made[f"{where}.{modules[module]}.{leaf}"] = (name,)
            elif module == f"self_attn.{_PROJECTIONS[0]}":
                parts = tuple(name.replace(_PROJECTIONS[0], part) for part in _PROJECTIONS)
                made[f"{where}.attn.in_proj_{leaf}"] = parts
    return made
