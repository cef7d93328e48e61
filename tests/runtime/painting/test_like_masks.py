"""Painting under a mask as other programs do, held to what those programs computed."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from a1111_cases import asked, read_case
from comfy_cases import masks
from comfy_cases import read_case as read_comfy
from PIL import Image, ImageDraw

import latentrt
from latentrt import samplers
from latentrt.cli import main
from latentrt.errors import SettingError
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt.noise import PhiloxGenerator, TorchGenerator
from latentrt.painting.a1111_mask import a1111_inpainting
from latentrt.painting.blend import SoftBlend
from latentrt.painting.comfyui_mask import comfyui_inpainting
from latentrt.painting.keeping import keeping
from latentrt.painting.recall import NotHeeded, recall
from latentrt.painting.start import begin, encode
from latentrt.pictures.images import load_image
from latentrt.pictures.mask import Mask, load_mask
from latentrt.pictures.opencv_blur import opencv_blur
from latentrt.schedule import Evaluation

A1111, COMFY = "a1111/index.json", "comfy/index.json"
CASES = (
    "inpaint_fill",
    "inpaint_latent_nothing",
    "inpaint_ddim",
    "inpaint_euler_a_no_blur",
    "inpaint_only_masked",
)
QUICK = {"num_inference_steps": 2, "seed": 1, "sampler": "euler"}
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))


def disc(box=(20, 10, 60, 50)):
    mask = Image.new("L", PICTURE.size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu") as pipeline:
        yield pipeline


def pictures(case, index):
    """The picture and the mask of a case."""
    return [
        load_image(index.parent / name) for name in (case.settings["init_images"][0], case.settings["mask"])
    ]


@pytest.mark.parametrize("name", CASES)
def test_automatic1111s_pictures(name, demo, data_file):
    index = data_file(A1111)
    case = read_case(index, name)
    generation = demo.start_inpaint(case.settings["prompt"], *pictures(case, index), **asked(case))
    np.testing.assert_array_equal(generation.request.inpainting.soft[0, 0], case.arrays["mask"][0])
    result = generation.result()
    np.testing.assert_allclose(result.latents, case.arrays["final"], rtol=0, atol=case.tolerance)
    # Levels are cut off: where one is nearly whole, the last bits of a latent decide.
    off = np.abs(np.asarray(result.images[0]).astype(int) - case.arrays["images"][0])
    assert off.max() <= 1
    assert off.mean() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_automatic1111s_pictures_from_their_own_texts(name, demo, data_file):
    """The picture and the mask are in no text, and are given."""
    index = data_file(A1111)
    case = read_case(index, name)
    told = recall(case.infotexts[0], run="inpaint")
    assert told["like"] == "a1111"
    result = demo.inpaint(told.pop("prompt"), *pictures(case, index), **told)
    np.testing.assert_allclose(result.latents, case.arrays["final"], rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("name", CASES)
def test_what_lies_under_the_mask_at_first(name, demo, data_file):
    index = data_file(A1111)
    case = read_case(index, name)
    request = demo.start_inpaint("a ring", *pictures(case, index), **asked(case)).request
    start = begin(demo.autoencoder, request, request.seeds.batches[0], encode(demo.autoencoder, request))
    np.testing.assert_allclose(start.clean, case.arrays["init_latent"], rtol=0, atol=case.tolerance)
    np.testing.assert_array_equal(start.noise, case.arrays["noise"])


def test_latent_noise_is_that_which_the_run_begins_with(demo):
    request = demo.start_inpaint(
        "a ring",
        PICTURE,
        disc(),
        like="a1111",
        masked_content="latent_noise",
        seed=[3, 4],
    ).request
    start = begin(demo.autoencoder, request, request.seeds.batches[0], encode(demo.autoencoder, request))
    free = np.broadcast_to(request.inpainting.soft > 0, start.clean.shape)
    np.testing.assert_array_equal(start.clean[free], start.noise[free])
    assert not np.isclose(start.clean[~free], start.noise[~free]).any()


def test_automatic1111_blurs_a_mask_of_another_size_before_it_is_resized():
    large = disc().resize((192, 128))
    painted = a1111_inpainting(PICTURE, Mask(large, blur=6, exact=True), 96, 64, 8)
    blurred = opencv_blur(large, 6).resize((96, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(painted.mask, np.minimum(2 * np.asarray(blurred, int), 255))
    alone = a1111_inpainting(PICTURE, Mask(large, blur=6, padding=4, exact=True), 64, 64, 8)
    resized = opencv_blur(large.resize((96, 64), Image.Resampling.LANCZOS), 6)
    np.testing.assert_array_equal(alone.mask, resized)


@pytest.mark.parametrize("name", ["mask_euler", "mask_alpha_2m", "inpaint_grow0", "inpaint_grow7_alpha"])
def test_comfyuis_masks_to_the_bit(name, data_file):
    index = data_file(COMFY)
    case = read_comfy(index, name)
    given = masks(case, index.parent)
    mask = Mask(
        load_mask(given["mask"]),
        content=given.get("masked_content", "original"),
        grow=given.get("grow_mask", 0),
        exact=True,
    )
    picture = load_image(given["image"], opaque=True)
    inpainting = comfyui_inpainting(picture, mask, 64, 64, 8)
    np.testing.assert_array_equal(inpainting.soft, case.arrays[f"mask_{case.node('KSampler')[0]}"])
    levels = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    grey = inpainting.hard if mask.content == "grey" else np.zeros_like(inpainting.hard)
    np.testing.assert_allclose(inpainting.pixels, np.where(grey, 0, levels), rtol=0, atol=1e-6)


@pytest.mark.parametrize("by", [1, 2, 6, 7])
def test_grown_as_by_a_sum_over_a_square(by):
    """torch's conv2d with ones, (by − 1)/2 padded, rounded up, and the first pixels of what comes of it."""
    pixels = np.zeros((24, 32), np.uint8)
    pixels[11, 14] = pixels[0, 31] = 255
    mask = Mask(Image.fromarray(pixels), content="grey", grow=by, exact=True)
    soft = comfyui_inpainting(Image.new("RGB", (32, 24)), mask, 32, 24, 1).soft[0, 0]
    before = math.ceil((by - 1) / 2)
    expected = np.zeros((24, 32))
    for row, column in np.argwhere(pixels):
        for y in range(row - (by - 1 - before), row + before + 1):
            for x in range(column - (by - 1 - before), column + before + 1):
                if 0 <= y < 24 and 0 <= x < 32:
                    expected[y, x] = 1
    np.testing.assert_array_equal(soft, expected)


def test_comfyui_crops_a_picture_that_is_a_little_too_large(demo):
    picture = PICTURE.crop((0, 0, 93, 61))
    request = demo.start_inpaint("a ring", picture, disc().crop((0, 0, 93, 61)), like="comfyui").request
    assert request.output_size == (88, 56)
    np.testing.assert_array_equal(np.asarray(request.inpainting.picture), np.asarray(picture)[2:58, 2:90])
    over = demo.start_img2img("a ring", picture, like="comfyui").request
    np.testing.assert_array_equal(over.pixels, request.inpainting.pixels)


def test_comfyui_reads_the_colours_under_transparency(demo, tmp_path):
    pixels = np.dstack([np.asarray(PICTURE), 255 - np.asarray(disc())])
    Image.fromarray(pixels).save(tmp_path / "hole.png")
    settings = {"like": "comfyui", **QUICK}
    one = demo.start_inpaint("a ring", tmp_path / "hole.png", tmp_path / "hole.png", **settings)
    other = demo.start_inpaint("a ring", PICTURE, disc(), **settings)
    np.testing.assert_array_equal(one.request.pixels, other.request.pixels)
    np.testing.assert_array_equal(one.request.inpainting.soft, other.request.inpainting.soft)


def test_the_noise_is_multiplied_by_nought_too(demo):
    settings = {"like": "a1111", "strength": 0.5, "noise_multiplier": 0, **QUICK}
    request = demo.start_inpaint("a ring", PICTURE, disc(), **settings).request
    start = begin(demo.autoencoder, request, request.seeds.batches[0], encode(demo.autoencoder, request))
    np.testing.assert_array_equal(start.x, start.clean)


AT = Evaluation(1, 2.0, 500.0, 1.0)


def test_comfyui_mixes_before_and_behind_the_network_but_not_what_is_unguided():
    mask = np.array([0, 0.25, 1], np.float32).reshape(1, 1, 1, 3)
    clean, x = np.full((1, 1, 1, 3), 8, np.float32), np.full((1, 1, 1, 3), 100, np.float32)
    seen = []

    class Network:
        def __call__(self, x, at):
            seen.append(x)
            return np.full_like(x, 4)

        def apart(self, x, at):
            return self(x, at), np.full_like(x, 3)

    blend = SoftBlend(Network(), clean, mask, lambda at: clean + at.sigma, finishes=False)
    guided, unguided = blend.apart(x, AT)
    assert seen[0].ravel().tolist() == [10, 32.5, 100]
    assert guided.ravel().tolist() == blend(x, AT).ravel().tolist() == [8, 7, 4]
    assert unguided.ravel().tolist() == [3, 3, 3]
    assert blend.finish(x) is x
    assert replace(blend, finishes=True).finish(x).ravel().tolist() == [8, 31, 100]


@pytest.mark.parametrize(
    ("like", "sampler", "shown"),
    [
        ("a1111", "Euler", lambda clean, noise: None),
        ("a1111", "DDIM", lambda clean, noise: clean * math.sqrt(5)),
        ("a1111", "UniPC", lambda clean, noise: clean * math.sqrt(5)),
        ("comfyui", "euler", lambda clean, noise: clean + 2 * noise),
        ("comfyui", "ddim", lambda clean, noise: clean + 2 * TorchGenerator(70_001).randn(noise.shape)),
        ("forge", "Euler", lambda clean, noise: clean + 2 * PhiloxGenerator(38_928).randn(noise.shape)),
        ("forge", "DDIM", lambda clean, noise: clean + 2 * PhiloxGenerator(38_928).randn(noise.shape)),
    ],
)
def test_what_the_network_sees_of_what_is_kept(like, sampler, shown, demo):
    """Seed 70000: Forge sets the global generator by (70000 + 100000) mod 65536."""
    request = demo.start_inpaint(
        "a ring", PICTURE, disc(), like=like, sampler=sampler, seed=70_000, num_inference_steps=4
    ).request
    batch = request.seeds.batches[0]
    start = begin(demo.autoencoder, request, batch, encode(demo.autoencoder, request))
    blend = keeping(lambda x, at: x, request, batch, start)
    wanted = shown(start.clean, start.noise)
    if wanted is None:
        assert blend.covering is None
    else:
        np.testing.assert_allclose(blend.covering(AT), wanted, rtol=1e-6, atol=1e-6)
    again = None if wanted is None else blend.covering(AT)
    if like == "forge":  # the next draw
        assert not np.allclose(again, wanted)


@pytest.mark.parametrize(
    ("sampler", "same"), [("euler", ["a1111", "comfyui"]), ("euler_ancestral", ["comfyui"])]
)
def test_whose_masks_can_be_said_alone(demo, sampler, same):
    """Of a mask of whole latents: Euler's state is the picture under the run's noise, an ancestral sampler's is not."""
    mask = Image.new("L", PICTURE.size)
    mask.paste(255, (16, 16, 64, 48))
    told = {"strength": 0.5, "num_inference_steps": 4, "seed": 1, "sampler": sampler}
    plain = demo.inpaint("a ring", PICTURE, mask, mask_blur=0, **told).latents
    free = np.zeros(plain.shape, bool)
    free[:, :, 2:6, 2:8] = True
    for name in ("a1111", "comfyui", "forge"):
        result = demo.inpaint("a ring", PICTURE, mask, mask_blur=0, mask_like=name, **told)
        off = np.abs(result.latents - plain)
        assert off[~free].max() < 1e-4
        assert (off[free].max() < 1e-4) == (name in same)
        assert dict(result.parameters[0].extra)["Mask like"] == name.upper()


@pytest.mark.parametrize("finishes", [True, False])
@pytest.mark.parametrize(
    "name", ["euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "unipc", "lms"]
)
def test_what_is_painted_goes_as_without_a_mask(name, finishes):
    """With a network that looks at each latent by itself, whatever it is shown beside."""
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    sampler = samplers.resolve(name, config)
    schedule = sampler.schedule(6)
    clean, noise = (TorchGenerator(seed).randn((1, 4, 6, 6)) for seed in (1, 2))
    mask = np.zeros((1, 1, 6, 6), np.float32)
    mask[..., 2:5, 1:4] = 1

    def denoise(x, at):
        return np.float32(0.8) * x / np.float32(1 + at.sigma**2)

    def run(network):
        x = schedule.noised(clean, noise).astype(np.float32)
        for step in sampler.run(network, x, schedule, TorchGenerator(5)):
            x = step.x
        return schedule.final(x)

    plain = run(denoise)
    blend = SoftBlend(denoise, clean, mask, lambda at: clean, finishes)
    latents = blend.finish(run(blend))
    free = np.broadcast_to(mask > 0, latents.shape)
    np.testing.assert_allclose(latents[free], plain[free], rtol=0, atol=1e-5 * np.abs(plain).max())
    if finishes:
        np.testing.assert_array_equal(latents[~free], clean[~free])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"like": "a1111", "differential": True}, "differential: is not computed as a1111 does"),
        ({"like": "comfyui", "differential": True}, "differential: is not computed as comfyui does"),
        ({"like": "comfyui", "mask_blur": 4}, "mask_blur: is not computed as comfyui does"),
        ({"like": "comfyui", "padding_mask_crop": 0}, "padding_mask_crop: is not computed as comfyui does"),
        (
            {"masked_content": "fill"},
            "masked_content: diffusers puts no fill under a mask; expected original",
        ),
        (
            {"like": "a1111", "masked_content": "grey"},
            "a1111 puts no grey under a mask; expected original or fill",
        ),
        ({"like": "comfyui", "masked_content": "fill"}, "comfyui puts no fill .*; expected original or grey"),
        ({"like": "comfyui", "grow_mask": 3}, "grow_mask: does nothing without masked_content grey"),
        ({"like": ["a1111"]}, "like: expected one of"),
        ({"mask_weight": 0.5}, "mask_weight: does nothing here: demo is no inpainting model"),
    ],
)
def test_refused(demo, given, words):
    with pytest.raises(SettingError, match=words):
        demo.start_inpaint("a ring", PICTURE, disc(), **given)


def test_the_text_brings_it_back(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PICTURE.save("in.png")
    disc().save("mask.png")
    over = ["--image", "in.png", "--mask", "mask.png", "--device", "cpu", "--quiet"]
    grey = ["--masked-content", "grey", "--grow-mask", "3", "--steps", "2", "--seed", "5"]
    assert main(["inpaint", "a ring", *over, "--like", "comfyui", *grey, "--out", "one.png"]) == 0
    text = latentrt.read_parameters("one.png")
    assert {"Like: COMFYUI", "Mask blur: 0", "Masked content: grey", "Grow mask: 3"} <= set(
        text.splitlines()[-1].split(", ")
    )
    assert main(["inpaint", "--from", "one.png", *over, "--out", "two.png"]) == 0
    with Image.open("one.png") as one, Image.open("two.png") as two:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    capsys.readouterr()
    assert main(["inpaint", "a ring", *over, "--like", "a1111", "--masked-content", "grey"]) == 2
    assert "--masked-content: a1111 puts no grey" in capsys.readouterr().err


def test_forges_text_says_what_no_seed_sets(data_file):
    case = read_case(data_file(A1111), "inpaint_ddim")
    text = case.infotexts[0].replace("Version: v1.10.1", "Version: f2.0.1v1.10.1-previous-1-gabcdef0")
    with pytest.warns(NotHeeded, match="the noise over what the mask keeps"):
        assert recall(text, run="inpaint")["like"] == "forge"


@pytest.mark.parametrize(("like", "hidden"), [("a1111", 0.75), ("comfyui", 1.0)])
def test_an_inpainting_unet_is_shown_the_mask_and_what_is_kept_is_put_back_too(
    like, hidden, random_model, tmp_path
):
    shutil.copytree(random_model, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 9}))
    weights = path.with_name("diffusion_pytorch_model.safetensors")
    tensors = read_safetensors(weights)
    first = tensors["conv_in.weight"]
    tensors["conv_in.weight"] = np.concatenate([first, first, first[:, :1]], axis=1)
    write_safetensors(weights, tensors)
    weight = {} if hidden == 1 else {"mask_weight": hidden}
    with latentrt.load(tmp_path / "model", device="cpu") as pipeline:
        generation = pipeline.start_inpaint("a ring", PICTURE, disc(), like=like, **weight, **QUICK)
        request = generation.request
        start = begin(
            pipeline.autoencoder, request, request.seeds.batches[0], encode(pipeline.autoencoder, request)
        )
        shown = np.where(request.inpainting.hard, request.pixels * np.float32(1 - hidden), request.pixels)
        mean, _ = pipeline.autoencoder.encode(shown)
        np.testing.assert_allclose(start.channels[:, 1:], pipeline.autoencoder.scaled(mean), atol=1e-5)
        assert set(np.unique(start.channels[:, 0])) == {0, 1}
        assert request.blends
        latents = generation.result().latents
    if like == "a1111":
        kept = np.broadcast_to(request.inpainting.soft == 0, latents.shape)
        np.testing.assert_array_equal(latents[kept], start.clean[kept])
