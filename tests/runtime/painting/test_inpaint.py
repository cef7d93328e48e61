"""Inpainting's pictures: masks, regions, what is left as it was, what is refused."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from watch import Watch

import latentrt
from latentrt import samplers
from latentrt.cli import main
from latentrt.errors import InputError, ModelError
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt.noise import TorchGenerator
from latentrt.painting.blend import Blend
from latentrt.painting.inpainting import crop_region, make_inpainting
from latentrt.painting.start import encode
from latentrt.pictures.images import read_parameters
from latentrt.pictures.mask import Mask, load_mask
from latentrt.pictures.metadata import parse_parameters
from latentrt.schedule import Evaluation

QUICK = {"num_inference_steps": 2, "seed": 1, "sampler": "euler", "guidance_scale": 1.0}
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))


def disc(width=96, height=64, box=(20, 10, 60, 50)):
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


@pytest.fixture(scope="module")
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


def array(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("differential", [False, True])
@pytest.mark.parametrize("blur", [0, 4])
def test_outside_of_the_mask_nothing_changes(pipeline, differential, blur):
    generation = pipeline.start_inpaint(
        "a ring", PICTURE, disc(), mask_blur=blur, differential=differential, **QUICK
    )
    image = generation.result().images[0]
    outside = np.asarray(generation.request.inpainting.mask) == 0
    assert 0.3 < outside.mean() < 0.9
    np.testing.assert_array_equal(array(image)[outside], array(PICTURE)[outside])
    inside = np.asarray(generation.request.inpainting.mask) == 255
    assert np.abs(array(image) - array(PICTURE))[inside].mean() > 10


def test_without_overlay_all_has_gone_through_the_autoencoder(pipeline):
    result = pipeline.inpaint("a ring", PICTURE, disc(), overlay=False, **QUICK)
    decoded = pipeline.decode(result.latents)[0]
    np.testing.assert_array_equal(array(result.images[0]), array(decoded))
    kept = pipeline.encode(PICTURE, seed=1)[..., :, -3:]  # the draw that the run began with
    np.testing.assert_allclose(result.latents[..., :, -3:], kept, atol=1e-5)


def test_inverted(pipeline):
    one = pipeline.inpaint("a ring", PICTURE, disc(), mask_blur=0, **QUICK)
    inverse = Image.eval(disc(), lambda level: 255 - level)
    other = pipeline.inpaint("a ring", PICTURE, inverse, mask_blur=0, invert_mask=True, **QUICK)
    np.testing.assert_array_equal(one.latents, other.latents)
    np.testing.assert_array_equal(array(one.images[0]), array(other.images[0]))
    assert dict(other.parameters[0].extra)["Mask mode"] == "Inpaint not masked"


def test_masked_region_alone_keeps_the_pictures_size(pipeline):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (131, 203, 3), np.uint8))
    mask = disc(203, 131, (150, 20, 190, 60))
    generation = pipeline.start_inpaint(
        "a ring", picture, mask, padding_mask_crop=8, width=64, height=64, **QUICK
    )
    assert generation.request.output_size == (203, 131)
    inpainting = generation.request.inpainting
    assert inpainting.pixels.shape == (1, 3, 64, 64)
    result = generation.result()
    assert result.images[0].size == (203, 131)
    outside = np.asarray(inpainting.mask) == 0
    np.testing.assert_array_equal(array(result.images[0])[outside], array(picture)[outside])
    p = result.parameters[0]
    assert (p.width, p.height, p.strength) == (64, 64, 1.0)
    assert p.extra[-3:] == (("Mask blur", "4"), ("Inpaint area", "Only masked"), ("Masked area padding", "8"))


def test_differential_frees_the_light_before_the_dark():
    """A mask of steps: with n steps, a latent of level m is painted in the last m·n of them."""
    mask = np.array([0, 0.25, 0.5, 0.75, 1], np.float32).reshape(1, 1, 1, 5)
    clean, noise = np.zeros((1, 1, 1, 5), np.float32), np.ones((1, 1, 1, 5), np.float32)
    seen = []

    def denoise(x, at):
        seen.append(x.copy())
        return np.full_like(x, 7)

    blend = Blend(denoise, clean, noise, mask, 4)
    state = np.full((1, 1, 1, 5), 100, np.float32)
    given_back = [blend(state, Evaluation(i, 4.0 - i, 0.0, 3.0 - i))[0, 0, 0] for i in range(4)]
    # What is not free goes in as the picture under noise of sigma, and comes out clean until it is about to move.
    assert seen[0].tolist() == [[[[100] * 5]]]
    assert [row[0, 0, 0].tolist() for row in seen[1:]] == [
        [3, 3, 3, 100, 100],
        [2, 2, 100, 100, 100],
        [1, 100, 100, 100, 100],
    ]
    assert [row.tolist() for row in given_back] == [
        [0, 0, 0, 7, 7],
        [0, 0, 7, 7, 7],
        [0, 7, 7, 7, 7],
        [0, 7, 7, 7, 7],
    ]
    assert blend.finish(np.full((1, 1, 1, 5), 9, np.float32)).tolist() == [[[[0, 9, 9, 9, 9]]]]


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("name", samplers.names())
def test_every_sampler_keeps_and_paints(name, strength):
    """With a network that looks at each latent by itself: the free ones as without a mask, the others the picture."""
    # Without a `_class_name`, for networks of every family.
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    sampler = samplers.resolve(name, config)
    schedule = sampler.schedule(8).truncated(strength)
    clean, noise = (TorchGenerator(seed).randn((1, 4, 6, 6)) for seed in (1, 2))
    mask = np.zeros((1, 1, 6, 6), np.float32)
    mask[..., 2:5, 1:4] = 1
    calls = []

    class Network:
        def __call__(self, x, at):
            calls.append(at.index)
            return np.float32(0.8) * x / np.float32(1 + at.sigma**2)

        def apart(self, x, at):  # as CFG++ asks
            guided = self(x, at)
            return guided, np.float32(0.9) * guided

    denoise = Network()

    def run(network):
        x = schedule.noised(clean, noise).astype(np.float32)
        for step in sampler.run(network, x, schedule, TorchGenerator(5)):
            x = step.x
        return schedule.final(x)

    plain = run(denoise)
    # What guidance and masks go by. Some ask in between, too, and DPM adaptive as often as it takes.
    adapts = sampler.key == "dpm_adaptive"
    assert set(calls) == set(range(len(schedule))) or (adapts and set(calls) < set(range(len(schedule))))
    blend = Blend(denoise, clean, noise, mask, len(schedule))
    latents = blend.finish(run(blend))
    free = np.broadcast_to(mask > 0, latents.shape)
    np.testing.assert_array_equal(latents[~free], clean[~free])
    if not adapts:  # whose steps go by all of the latents
        np.testing.assert_allclose(latents[free], plain[free], rtol=0, atol=1e-5 * np.abs(plain).max())


def test_transparency_is_the_mask_where_there_is_any():
    photo = PICTURE.convert("RGBA")
    hole = Image.new("L", PICTURE.size, 255)
    hole.paste(0, (10, 10, 40, 40))
    photo.putalpha(hole)
    mask = np.asarray(load_mask(photo))
    assert (mask == 255).sum() == 30 * 30
    assert (mask[10:40, 10:40] == 255).all()
    opaque = disc().convert("RGBA")
    np.testing.assert_array_equal(np.asarray(load_mask(opaque)), np.asarray(disc()))
    colours = Image.new("RGB", (2, 1), "white")
    colours.putpixel((1, 0), (0, 0, 255))
    assert np.asarray(load_mask(colours)).tolist() == [[255, 29]]  # luminance, ITU-R 601


def test_a_mask_of_another_size_is_resized():
    assert make_inpainting(PICTURE, Mask(disc().resize((48, 32))), 96, 64, 8).mask.size == (96, 64)
    odd = Image.new("RGB", (101, 67))
    half = Mask(Image.new("L", (51, 34), 255))  # half of it, rounded
    assert make_inpainting(odd, half, 96, 64, 8).mask.size == (96, 64)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 20),
    st.integers(1, 8),
    st.integers(1, 8),
    st.data(),
)
def test_the_region_holds_all_that_is_painted(width, height, padding, across, down, data):
    pixels = np.zeros((height, width), np.uint8)
    points = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    for row, column in data.draw(st.lists(points, min_size=1, max_size=4)):
        pixels[row, column] = 1
    left, top, right, bottom = crop_region(Image.fromarray(pixels), 8 * across, 8 * down, padding)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    rows, columns = np.nonzero(pixels)
    assert (left <= np.maximum(columns - padding, 0)).all()
    assert (right >= np.minimum(columns + 1 + padding, width)).all()
    assert (top <= np.maximum(rows - padding, 0)).all()
    assert (bottom >= np.minimum(rows + 1 + padding, height)).all()


@pytest.mark.parametrize(
    ("mask", "settings", "message"),
    [
        (Image.new("L", (96, 64)), {}, "mask: nothing to paint: it is black all over"),
        (Image.new("L", (96, 64), 255), {"invert_mask": True}, "mask: nothing to paint"),
        (disc(), {"mask_blur": 9e3}, "mask_blur: 9000 pixels leave nothing of the mask"),
        (
            disc(box=(33, 33, 35, 35)),
            {"mask_blur": 0},
            "no white spot of it is as large as a latent, 8x8 pixels",
        ),
        (Image.new("L", (64, 64), 255), {}, "mask: expected the picture's proportions, 96x64, got 64x64"),
        (disc(), {"mask_blur": -1}, "mask_blur: expected a number from 0 to 10000, got -1"),
        (
            disc(),
            {"padding_mask_crop": -1},
            "padding_mask_crop: expected a whole number of 0 or more, got -1",
        ),
        (disc(), {"padding_mask_crop": 1.5}, "padding_mask_crop: expected a whole number"),
        (disc(), {"strength": 0}, "strength: 0.0 of 25 steps leaves none; expected at least 0.04"),
    ],
)
def test_refused(pipeline, mask, settings, message):
    with pytest.raises(InputError, match=message):
        pipeline.start_inpaint("a ring", PICTURE, mask, **settings)


def test_with_low_memory_both_pictures_are_encoded_in_one_stage(random_model, tmp_path, monkeypatch):
    shutil.copytree(random_model, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 9}))
    weights = path.with_name("diffusion_pytorch_model.safetensors")
    tensors = read_safetensors(weights)
    first = tensors["conv_in.weight"]
    tensors["conv_in.weight"] = np.concatenate([first, first, first[:, :1]], axis=1)
    write_safetensors(weights, tensors)
    watch = Watch(monkeypatch)
    with latentrt.load(tmp_path / "model", device="cpu", low_memory=True) as low:
        request = low.start_inpaint("a ring", PICTURE, disc(), strength=0.5, **QUICK).request
        found = encode(low.autoencoder, request)
        assert (watch.made, watch.alive) == (["vae_encoder"], [])
        each = [low.autoencoder.encode(x) for x in (request.pixels, request.inpainting.masked_pixels)]
    np.testing.assert_array_equal([found.picture, found.masked], each)


def test_a_unet_of_other_channels_is_refused(random_model, tmp_path):
    model = shutil.copytree(random_model, tmp_path / "model")
    path = model / "unet/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 8}))
    with pytest.raises(ModelError, match="takes 8 channels, which inpaint cannot drive"):
        latentrt.load(model, device="cpu").start_inpaint("a ring", PICTURE, disc())


def test_command(random_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PICTURE.save("in.png")
    disc().save("mask.png")
    command = ["inpaint", "a ring", "--image", "in.png", "--mask", "mask.png", "--model", str(random_model)]
    command += ["--device", "cpu", "--steps", "2", "--seed", "4,6", "--quiet"]
    assert (
        main([*command, "--only-masked", "--padding", "4", "--size", "64x64", "--out", "out-{seed}.png"]) == 0
    )
    assert capsys.readouterr().out.split() == ["out-4.png", "out-6.png"]
    with Image.open("out-6.png") as image:
        assert image.size == PICTURE.size
        assert (array(image)[:, -5:] == array(PICTURE)[:, -5:]).all()
    p = parse_parameters(str(read_parameters("out-6.png")))
    assert (p.seed, p.strength, dict(p.extra)["Masked area padding"]) == (6, 1.0, "4")
    assert main(["generate", "--from", "out-6.png", "--model", str(random_model)]) == 2
    assert "was painted over another picture" in capsys.readouterr().err
    assert main([*command, "--padding", "4"]) == 2
    assert "--padding: does nothing without --only-masked" in capsys.readouterr().err
