"""What one file of tensors holds: a UNet, an autoencoder, text encoders, each under diffusers' names.

Programs put different words in front of a network's names, so none is looked for by these: the names that every network
has (its first convolution, its table of tokens) say where each begins.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from latentrt.errors import ModelError, WeightsError
from latentrt.models.keys import open_clip, unet, vae
from latentrt.models.other_kinds import refuse_other_kinds
from latentrt.models.safetensors import Tensor, read_whole_header
from latentrt.models.weights import Weights

# What the end of a name says of a network that lies in several files.
_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})$")
# Below such a prefix lies another copy, or another network.
_NOT_THESE = ("model_ema.", "control_model.", "loss.", "embedder.", "depth_model.", "lora")
# Top-level tensors that say how a model predicts, present or by value (`prediction.py`).
MARKERS = ("v_pred", "ztsnr", "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")
_SCALES = ("scale_weight", "weight_scale")
# What training and sampling code keeps beside the networks, and no picture depends on.
_HARMLESS = (
    "alphas_cumprod", "betas", "sqrt_", "log_one_minus_", "posterior_", "denoiser.", "model_ema.", "loss.",
    "embedding_manager.", "first_stage_model.loss.", "first_stage_model.model_ema.", "global_step", "num_updates",
    "low_scale_model.", "depth_model.",
)  # fmt: skip
_HARMLESS_ENDS = ("position_ids", "logit_scale", "scaled_fp8", "scale_input", "input_scale", "num_updates")


@dataclass(frozen=True)
class Encoder:
    """One text encoder in a file.

    Attributes:
        tensors: by transformers' names.
        is_open_clip: it bore OpenCLIP's.
    """

    tensors: Mapping[str, Tensor]
    is_open_clip: bool

    @property
    def width(self) -> int:
        """Of its hidden states; 0 where its table is damaged, which its config says (`derive.text_config`)."""
        shape = self.tensors["text_model.embeddings.token_embedding.weight"].shape
        return shape[-1] if shape else 0


@dataclass(frozen=True)
class Contents:
    """One file.

    Attributes:
        file: where it lies.
        metadata: what its header says beside the tensors.
        unet, vae: tensors by diffusers' names; empty where there is none.
        text_encoders: from the narrowest to the widest.
        markers: tensors of `MARKERS`.
        weights: of all tensors as the file names them.
        extras: names that no picture depends on.
        unknown: names that nothing here knows.
    """

    file: Path
    metadata: Mapping[str, str]
    weights: Weights
    unet: Mapping[str, Tensor] = field(default_factory=dict)
    vae: Mapping[str, Tensor] = field(default_factory=dict)
    text_encoders: tuple[Encoder, ...] = ()
    markers: Mapping[str, Tensor] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_contents(file: Path) -> Contents:
    """Look through the header of a file; no tensor is read.

    Raises:
        WeightsError: it is no whole safetensors file.
        ModelError: it is of a kind that is known and does not run here, or holds nothing that is known.
    """
    if (shard := _SHARD.search(file.stem)) is not None and int(shard[1]) > 1:
        raise ModelError(
            f"{file}: is one of {int(shard[1])} files that hold a network together. Give the folder of the whole model"
        )
    stored, metadata = read_whole_header(file)
    tensors = _scaled(stored)
    used: set[str] = set()

    def below(prefix: str) -> dict[str, Tensor]:
        begin = len(prefix)
        return {name[begin:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    def take(prefix: str, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors under the names on the right; they lie under those on the left, below the prefix."""
        used.update(prefix + own for own in names)
        return {theirs: tensors[prefix + own] for own, theirs in names.items()}

    unets, vaes = {}, {}
    for prefix, is_ldm in _unet_prefixes(tensors):
        own = below(prefix)
        layers = unet.layers_per_block(own) if is_ldm else 0
        named = {n: unet.from_ldm(n, layers) if is_ldm else unet.to_ldm(n, 1, own) and n for n in own}
        unets[prefix] = {name: theirs for name, theirs in named.items() if theirs is not None}
    for prefix, is_ldm in _vae_prefixes(tensors):
        own = below(prefix)
        count = vae.levels(own)
        named = {n: vae.from_ldm(n, count) if is_ldm else vae.to_ldm(n, count) and n for n in own}
        vaes[prefix] = {name: theirs for name, theirs in named.items() if theirs is not None}
    encoders = []
    for prefix, is_open_clip in _text_prefixes(tensors):
        own = below(prefix)
        named_tensors = open_clip.from_open_clip(own) if is_open_clip else _in_transformers(own)
        encoders.append(Encoder(named_tensors, is_open_clip))
        used.update(tensor.name for tensor in named_tensors.values())
    chosen_unet, chosen_vae = _largest(unets), _largest(vaes)
    contents = Contents(
        file=file,
        metadata=metadata,
        weights=Weights.of(tensors),
        unet={} if chosen_unet is None else take(chosen_unet, unets[chosen_unet]),
        vae={} if chosen_vae is None else take(chosen_vae, vaes[chosen_vae]),
        text_encoders=tuple(sorted(encoders, key=lambda encoder: encoder.width)),
        markers={name: tensors[name] for name in MARKERS if name in tensors},
    )
    rest = [
        name for name in stored if name not in used and name not in MARKERS and not name.endswith(_SCALES)
    ]
    nothing = not contents.unet and not contents.vae and not contents.text_encoders
    refuse_other_kinds(file, {name: stored[name] for name in rest}, alone=nothing)
    if nothing:
        some = ", ".join(list(tensors)[:3])
        raise ModelError(
            f"{file}: holds no UNet, autoencoder or text encoder of Stable Diffusion's kind; it has {len(tensors)} "
            f"tensors{f', as {some}' if some else ''}. Expected a checkpoint in one file, or one of its networks."
        )
    extras = tuple(name for name in rest if _is_harmless(name))
    return replace(contents, extras=extras, unknown=tuple(name for name in rest if not _is_harmless(name)))


def _scaled(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each with the scale that stands beside it.

    Raises:
        WeightsError: a file says that its float8 weights are scaled, and lost the scales: it would paint white.
    """
    scaling = {name: tensor for name, tensor in stored.items() if name.endswith(_SCALES)}
    marker = next((name for name in stored if name.endswith("scaled_fp8")), None)
    if marker is not None and not scaling:
        eighths = (
            t for name, t in stored.items() if t.dtype.startswith("F8_") and not name.endswith("scaled_fp8")
        )
        for eighth in eighths:
            raise WeightsError(
                f"{eighth.file}: {marker} says that its float8 weights are scaled, and it holds no scales "
                f"({_SCALES[0]}): tensor {eighth.name} cannot be read. Download the file again, or take one of fp16"
            )
    tensors = {name: tensor for name, tensor in stored.items() if name not in scaling}
    for name, scale in scaling.items():
        ending = next(ending for ending in _SCALES if name.endswith(ending))
        scaled = name.removesuffix(ending) + "weight"
        if scaled in tensors:
            tensors[scaled] = tensors[scaled]._replace(scale=scale)
    return tensors


def _is_harmless(name: str) -> bool:
    return name.startswith(_HARMLESS) or name.endswith(_HARMLESS_ENDS)


def _prefixes(tensors: Mapping[str, Tensor], *endings: str) -> Iterator[str]:
    """What stands in front of any of these names, in the order of the file."""
    for name in tensors:
        if not name.endswith(endings):
            continue
        for ending in endings:
            prefix = name.removesuffix(ending)
            if prefix != name and (not prefix or prefix.endswith(".")) and not prefix.startswith(_NOT_THESE):
                yield prefix


def _unet_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, bool]]:
    """Where a UNet's names begin, and whether they are the original's."""
    for prefix in _prefixes(tensors, "input_blocks.0.0.weight"):
        if prefix + "out.2.weight" in tensors:  # a ControlNet has no way up
            yield prefix, True
    for prefix in _prefixes(tensors, "conv_in.weight"):
        if prefix + "time_embedding.linear_1.weight" in tensors and prefix + "conv_out.weight" in tensors:
            yield prefix, False


def _vae_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, bool]]:
    for prefix in _prefixes(tensors, "decoder.conv_in.weight"):
        if prefix + "decoder.mid.block_1.norm1.weight" in tensors:
            yield prefix, True
        elif prefix + "decoder.mid_block.resnets.0.norm1.weight" in tensors:
            yield prefix, False


def _text_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, bool]]:
    """Where a text encoder's names begin, and whether they are OpenCLIP's."""
    for prefix in _prefixes(tensors, "embeddings.token_embedding.weight"):
        yield prefix.removesuffix("text_model."), False
    for prefix in _prefixes(tensors, "token_embedding.weight"):
        if prefix + "positional_embedding" in tensors:
            yield prefix, True


def _in_transformers(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder's tensors that bear transformers' names, with or without their first word."""
    found = {}
    for name, tensor in own.items():
        if name == "text_projection" and len(tensor.shape) == 2:
            found["text_projection.weight"] = tensor.transposed
        elif name == "text_projection.weight":
            found[name] = tensor
        else:
            module = name.removeprefix("text_model.")
            known = module.startswith(("embeddings.", "encoder.layers.", "final_layer_norm."))
            if known and not module.endswith("position_ids"):
                found[f"text_model.{module}"] = tensor
    return found


def _largest(found: Mapping[str, Mapping[str, str]]) -> str | None:
    """The prefix with the most tensors; None where there is none."""
    return max(found, key=lambda prefix: len(found[prefix]), default=None)
