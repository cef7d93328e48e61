"""Tiles: that they cover, blend and agree, and what a tiled picture differs from the whole one by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import latentrt
from latentrt.errors import InputError
from latentrt.painting.moments import combine
from latentrt.painting.tiling import MIN_TILE, Grid, Tiling


@settings(max_examples=60)
@given(
    height=st.integers(1, 150), width=st.integers(1, 150), size=st.integers(MIN_TILE, 64),
    unit=st.integers(1, 3), out=st.integers(1, 3),
)  # fmt: skip
def test_tiles_of_one_size_cover_the_picture_and_blend_to_it(height, width, size, unit, out):
    grid = Grid(height, width, Tiling.of(size))
    x = np.random.default_rng(0).standard_normal((1, 2, height * unit, width * unit)).astype(np.float32)
    pieces = list(grid.cut(x, unit))
    assert {piece.shape for piece in pieces} == {(1, 2, *(side * unit for side in grid.tile))}
    assert sum(grid.shares) == pytest.approx(1, abs=1e-6)
    y = np.random.default_rng(1).standard_normal((1, 2, height * out, width * out)).astype(np.float32)
    assert np.abs(grid.join(grid.cut(y, out), out) - y).max() < 1e-5
    gaps = np.diff(sorted({row for row, _ in grid.corners}))
    assert all(gap <= size - size // 4 for gap in gaps)  # so much overlaps at least


def test_what_lies_in_the_margin_does_not_count():
    grid = Grid(40, 16, Tiling.of(16))
    parts = []
    for row, _ in grid.corners:
        part = np.zeros((1, 1, 16, 16), np.float32)
        if row:
            part[:, :, :1] = 1e9
        if row + 16 < 40:
            part[:, :, -1:] = 1e9
        parts.append(part)
    assert not grid.join(parts, 1).any()


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def latents(demo):
    """256×384 pixels: six pictures of the demo, beside each other."""
    result = demo.txt2img(
        "a large red heart on a blue background", seed=list(range(6)), num_inference_steps=4
    )
    rows = [np.concatenate(list(result.latents[i : i + 3]), axis=2) for i in (0, 3)]
    return np.concatenate(rows, axis=1)[None]


def test_moments_of_the_whole_picture_give_the_whole_picture(demo, latents):
    autoencoder, runner = demo.autoencoder, demo.runners["vae_decoder"]
    whole = autoencoder.decode(latents, "off")
    feeds = {"latent_sample": latents / autoencoder.scaling_factor + autoencoder.shift_factor}
    shapes = {"latent_sample": latents.shape}
    told = runner.session(shapes, "told").run(feeds)
    assert np.array_equal(told.pop("sample"), whole)
    assert len(told) == 2 * 21  # a mean and a mean of squares for each norm
    again = runner.session(shapes, "given").run(feeds | combine([told], [1.0]))["sample"]
    assert np.abs(again - whole).max() < 1e-4


def test_a_tiled_picture_is_nearly_the_whole_one(demo, latents):
    autoencoder = demo.autoencoder
    whole, tiled = (autoencoder.decode(latents, tile) for tile in ("off", 128))
    difference = np.abs(np.clip(tiled, -1, 1) - np.clip(whole, -1, 1)) * 127.5
    # Measured: 4.0 and 0.71 grey levels.
    assert difference.max() < 6
    assert difference.mean() < 1
    (mean, std), (tiled_mean, tiled_std) = (
        autoencoder.encode(whole.clip(-1, 1), tile) for tile in ("off", 128)
    )
    assert np.sqrt(np.mean((tiled_mean - mean) ** 2)) < 0.02 * mean.std()
    assert tiled_std.shape == std.shape


def test_a_batch_is_tiled_as_each_alone(demo, latents):
    both = np.concatenate([latents, -latents])
    tiled = demo.autoencoder.decode(both, 192)
    assert np.array_equal(tiled[1:], demo.autoencoder.decode(-latents, 192))


def test_a_network_without_norms_needs_one_pass_alone(random_tiny):
    """Margins hold nearly all that a pixel sees. Measured with these weights: 0.9 grey levels, 0.008 deviations."""
    with latentrt.load(random_tiny, device="cpu") as pipeline:
        autoencoder, runner = pipeline.autoencoder, pipeline.runners["vae_decoder"]
        latents = np.random.default_rng(0).standard_normal((1, 4, 72, 80)).astype(np.float32)
        whole, tiled = (autoencoder.decode(latents, tile) for tile in ("off", 512))
        assert [variant.norms for variant, _ in runner._sessions] == ["own"]
        assert np.abs(tiled - whole).max() * 127.5 < 2
        pixels = np.random.default_rng(1).uniform(-1, 1, (1, 3, 576, 640)).astype(np.float32)
        (mean, none), (tiled, _) = (autoencoder.encode(pixels, tile) for tile in ("off", 512))
        assert none is None and mean.shape == (1, 4, 72, 80)
        assert np.abs(tiled - mean).max() < 0.02 * mean.std()


def test_when_tiles_are_taken():
    with latentrt.load("demo", device="cpu") as pipeline:
        tiling = pipeline.autoencoder.tiling
        assert tiling(1024, 1024) is None
        assert tiling(1024, 1032) == Tiling(64, 16, 4)
        assert tiling(4096, 4096, "off") is None
        assert tiling(256, 256, 256) is None
        assert tiling(256, 264, 256) == Tiling(32, 8, 2)
        for tile in (0, 120, 129, 1.5, 128.0, "on", True, [128]):
            with pytest.raises(
                InputError, match="tile: expected auto, off or a multiple of 8 from 128 pixels"
            ):
                tiling(2048, 2048, tile)
    with pytest.raises(InputError, match="tile"):
        latentrt.load("demo", device="cpu", tile=100)
    with pytest.raises(
        InputError, match="tile: expected auto, off or a multiple of 8 from 128 pixels, got None"
    ):
        latentrt.load("demo", device="cpu", tile=None)
