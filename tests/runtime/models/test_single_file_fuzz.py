"""Headers of known names with shapes that are not: a model or one error of ours each, and no traceback."""

from math import prod
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinds import KINDS
from single_files import stored, write_header

from latentrt.errors import LatentrtError
from latentrt.models.bundle import open_model
from latentrt.models.replacing import make_replacements
from latentrt.networks import Variant

NAMES = tuple(dict.fromkeys(name for kind in KINDS for name in stored(KINDS[kind])))
SOURCES = tuple(
    dict.fromkeys(source for kind in KINDS for t in stored(KINDS[kind]).values() for source in t.sources)
)
PREFIXES = (
    "",
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.model.",
    "te.",
    "unet.",
    "lora_unet_",
)
SIGNS = (
    "input_blocks.0.0.weight", "out.2.weight", "conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight",
    "decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight", "decoder.mid_block.resnets.0.norm1.weight",
    "token_embedding.weight", "positional_embedding", "embeddings.token_embedding.weight", "text_projection",
    "transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.attn.in_proj_bias", "scaled_fp8",
    "input_blocks.999.1.norm.weight", "down_blocks.99.attentions.99.norm.weight", "add_embedding.linear_1.weight",
    "class_embedding.weight", "time_embedding.cond_proj.weight", "label_emb.weight", "conv_in.scale_weight",
    "v_pred", "edm_mean", "edm_std", "edm_vpred.sigma_max", "encoder.layers.999.mlp.fc1.weight",
)  # fmt: skip
SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 64, 77, 128, 320, 640, 768, 1024, 1280, 2048, 2816, 49408])
SHAPES = st.lists(SIZES, max_size=5).map(tuple).filter(lambda shape: prod(shape) < 2**32)
NAME = st.one_of(
    st.sampled_from(NAMES),
    st.builds(str.__add__, st.sampled_from(PREFIXES), st.sampled_from(SOURCES + SIGNS)),
)


def opens_or_says_why(path: Path, base: Path | None = None) -> None:
    """As a model, or as each part of one."""
    parts = ({},) if base is None else ({"unet": path}, {"vae": path}, {"text_encoder": path})
    for part in parts:
        try:
            model = open_model(path if base is None else base, make_replacements(**part))
            _ = model.default_size, model.num_time_ids, model.text_layers, model.latent_channels
            for component in model.components.values():
                component.graph(Variant())
        except LatentrtError as error:
            assert str(error)


BK = {name: tensor.shape for name, tensor in stored(KINDS["bk-tiny"]).items()}
examples = pytest.mark.parametrize("examples", [15, pytest.param(400, marks=pytest.mark.slow)])


@examples
def test_some_names_of_any_shape(tmp_path: Path, examples: int) -> None:
    @settings(max_examples=5 * examples)
    @given(st.dictionaries(NAME, SHAPES, max_size=12))
    @example({})
    def check(shapes):
        opens_or_says_why(write_header(tmp_path / "m.safetensors", shapes))

    check()


@examples
def test_a_whole_file_with_some_tensors_of_other_shapes_or_gone(tmp_path: Path, examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        st.dictionaries(st.sampled_from(tuple(BK)), SHAPES | st.none(), max_size=4),
        st.dictionaries(NAME, SHAPES, max_size=2),
        st.sampled_from(["F16", "F8_E4M3", "I64"]),
    )
    def check(changed, more, dtype):
        shapes = {name: shape for name, shape in (BK | changed | more).items() if shape is not None}
        opens_or_says_why(write_header(tmp_path / "m.safetensors", shapes, dtype))

    check()


WORDS = (
    "up_blocks",
    "down_blocks",
    "mid_block",
    "transformer_blocks",
    "attn2",
    "norm1",
    "conv1",
    "vae",
    "layers.0.",
)


@examples
def test_a_whole_file_that_lacks_a_piece(tmp_path: Path, examples: int) -> None:
    """Everything whose name in diffusers has a word, or half of it."""

    @settings(max_examples=examples)
    @given(st.sampled_from(["bk-tiny", "vega"]), st.sampled_from(WORDS), st.sampled_from([0, 1, 2]))
    def check(name, word, how):
        tensors = stored(KINDS[name])
        having = [own for own, tensor in tensors.items() if any(word in source for source in tensor.sources)]
        gone = set([having, having[::2], having[: len(having) // 2]][how])
        shapes = {own: tensor.shape for own, tensor in tensors.items() if own not in gone}
        opens_or_says_why(write_header(tmp_path / "m.safetensors", shapes))

    check()


@examples
def test_a_part_of_any_shape_beside_a_model(tmp_path: Path, examples: int) -> None:
    base = write_header(tmp_path / "base.safetensors", BK)

    @settings(max_examples=examples // 3)
    @given(st.dictionaries(st.sampled_from(tuple(BK)), SHAPES | st.none(), max_size=4))
    def check(changed):
        shapes = {name: shape for name, shape in (BK | changed).items() if shape is not None}
        opens_or_says_why(write_header(tmp_path / "part.safetensors", shapes), base)

    check()
