"""The second pass: sizes, steps, noise, what it starts from, and its way through a picture's text."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import latentrt
from latentrt.cli import main
from latentrt.cli.options import in_options
from latentrt.errors import InputError, SettingError
from latentrt.noise import TorchGenerator
from latentrt.painting.hires import Hires
from latentrt.painting.upscale import interpolate
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import format_parameters, parse_parameters

PROMPT = "a large red heart on a blue background"


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        yield pipeline


@pytest.mark.parametrize(
    ("hires", "size"),
    [
        (Hires(2), (256, 128)),
        (Hires(1.3), (160, 80)),  # 166.4 and 83.2, rounded down to multiples of 8
        (Hires(size=(192, 96)), (192, 96)),
    ],
)
def test_sizes(hires, size):
    assert hires.target(128, 64, 8) == (size, size)


@pytest.mark.parametrize("hires", [Hires(1.01), Hires(size=(256, 256)), Hires(size=(64, 32))])
def test_sizes_that_are_none(hires):
    with pytest.raises(InputError, match="hires"):
        hires.target(128, 64, 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("scale", value) for value in (1, 0.5, -2, "2", None)),
        *(("strength", value) for value in (0, 1.1, None)),
        ("size", (64,)),
        ("steps", 0),
        ("upscaler", None),
    ],
)
def test_values_are_checked_when_they_are_given(name, value):
    with pytest.raises(SettingError, match=f"hires {name}: expected"):
        Hires(**{name: value})


def test_values_become_plain_and_the_signature_is_short():
    assert Hires(2, [96, 96]) == Hires(2.0, (96, 96), None)
    assert str(inspect.signature(Hires)).startswith(
        "(scale: float = 2.0, size: tuple[int, int] | None = None, "
    )
    assert "enlarged picture. Default: 0.7." in " ".join(Hires.__doc__.split())


@pytest.mark.parametrize("hires", [2.0, True, False, {"scale": 2}])
def test_what_is_no_second_pass_is_refused(demo, hires):
    with pytest.raises(SettingError, match="hires: expected a latentrt.Hires"):
        demo.start_txt2img(PROMPT, hires=hires)


@pytest.mark.parametrize(
    ("hires", "named"),
    [
        (Hires(99), "at most 67,108,864 pixels"),
        (Hires(upscaler="esrgan"), "hires upscaler"),
    ],
)
def test_values_are_refused_before_anything_is_painted(demo, hires, named):
    with pytest.raises(InputError, match=named):
        demo.start_txt2img(PROMPT, hires=hires)


@pytest.mark.parametrize(
    ("hires", "settings", "message"),
    [
        (
            Hires(),
            {"num_inference_steps": 800},
            "--hires-steps: 800 at --hires-strength 0.7 are the last of 1142; expected an integer from 1 to 1000",
        ),
        (
            Hires(strength=0.002),
            {"num_inference_steps": 3},
            "--hires-steps: 3 at --hires-strength 0.002 are the last of 1500",
        ),
        (
            Hires(steps=1),
            {"guidance_interval": (0, 0.4)},
            "--guidance-interval: second pass: 0 to 0.4 covers no whole step of 1",
        ),
    ],
)
def test_errors_of_the_second_pass_name_what_was_said(demo, hires, settings, message):
    with pytest.raises(SettingError) as caught:
        demo.start_txt2img(PROMPT, hires=hires, **settings)
    assert in_options(caught.value).startswith(message)


def test_a_function_guides_both_passes_as_the_text_tells(demo):
    generation = demo.start_txt2img(
        PROMPT,
        hires=Hires(steps=4),
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=lambda step: 9 - step,
    )
    assert generation.request.guidance.points == (9, 8)
    np.testing.assert_allclose(generation.request.guidance.scales, [9, 26 / 3, 25 / 3, 8])
    (told,) = {dict(one.extra)["CFG schedule"] for one in generation.result().parameters}
    assert told == "9 8"


def test_a_run_with_a_second_pass_is_of_its_kind(demo):
    request = demo.start_txt2img(PROMPT, hires=Hires(steps=2)).request
    assert request.run == "txt2img"
    assert "strength" not in request.settings
    assert len(request.schedule) == 2


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
@pytest.mark.parametrize(("strength", "total"), [(0.5, 6), (0.75, 4), (1.0, 3)])  # int(3 / strength)
def test_the_second_pass_runs_all_its_steps_from_fresh_noise_of_the_same_seeds(
    demo, upscaler, strength, total
):
    hires = Hires(1.5, steps=3, strength=strength, upscaler=upscaler)
    generation = demo.start_txt2img(
        PROMPT, hires=hires, seed=[5, 6], num_inference_steps=4, width=64, height=64, sampler="euler"
    )
    steps = list(generation)
    assert [step.index for step in steps] == list(range(7))
    assert {step.total for step in steps} == {generation.total} == {7}
    assert [step.latents.shape[2:] for step in steps] == [(8, 8)] * 4 + [(12, 12)] * 3
    # The last 3 of a run of `total` steps, and the noise level that they begin with.
    whole = demo.start_txt2img(PROMPT, num_inference_steps=total, sampler="euler").request.schedule
    sigma, after = whole.sigmas[total - 3 :][:2]
    assert steps[4].sigma == sigma
    first = steps[3].latents  # Euler ends at sigma 0
    if upscaler == "latent":
        enlarged = interpolate(first, (12, 12), "bilinear")
    else:
        larger = [image.resize((96, 96), Image.Resampling.LANCZOS) for image in demo.decode(first)]
        enlarged = np.concatenate([demo.encode(image) for image in larger])
    noise = np.concatenate([TorchGenerator(seed).randn((1, 4, 12, 12)) for seed in (5, 6)])
    start = enlarged + sigma * noise
    # Euler, one step: x + (x - denoised) / sigma * (next - sigma)
    wanted = start + (start - steps[4].denoised) / sigma * (after - sigma)
    assert np.abs(steps[4].latents - wanted).max() < 1e-5
    np.testing.assert_array_equal(generation.latents(), steps[6].latents)
    result = generation.result()
    assert [image.size for image in result.images] == [(96, 96)] * 2
    assert result.seeds == [5, 6]
    stages = set(result.timings) - {"total"}
    assert stages == {"load", "text_encoder", "unet", "upscale", "vae_decoder"}
    assert result.timings == generation.timings
    assert result.timings["total"] == pytest.approx(sum(result.timings[stage] for stage in stages))


@pytest.mark.parametrize(("sampler", "evaluations"), [("heun", 7), ("dpmpp_sde", 7), ("pndm", 5), ("lms", 4)])
def test_the_second_pass_of_solvers_that_look_twice(demo, sampler, evaluations):
    generation = demo.start_txt2img(
        PROMPT, hires=Hires(steps=4), num_inference_steps=2, width=64, height=64, sampler=sampler
    )
    assert len(generation.request.schedule) == evaluations
    assert len(list(generation)) == generation.total


def test_one_stream_serves_both_pictures_in_both_passes(demo):
    settings = {"num_inference_steps": 2, "width": 64, "height": 64}
    result = demo.txt2img(PROMPT, hires=Hires(steps=1), seed=3, num_images=2, **settings)
    assert result.seeds == [3, 3]
    assert np.abs(result.latents[0] - result.latents[1]).max() > 0.1


def test_a_picture_with_two_passes_comes_again_from_its_own_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [
        "--json",
        "--hires",
        "1.5x",
        "--hires-steps",
        "2",
        "--hires-strength",
        "0.6",
        "--hires-upscaler",
        "latent-bicubic",
    ]
    common = ["--device", "cpu", "--quiet"]
    command = ["generate", PROMPT, "--size", "64x64", "--steps", "3", "--seed", "4", "--out", "a.png"]
    assert main([*command, *options, *common]) == 0
    told = json.loads(capsys.readouterr().out)["settings"]
    assert (told["width"], told["height"]) == (96, 96)
    assert (told["first_pass_width"], told["first_pass_height"]) == (64, 64)
    assert (told["hires_scale"], told["hires_size"], told["hires_steps"]) == (1.5, None, 2)
    assert (told["hires_upscaler"], told["strength"]) == ("Latent (bicubic)", 0.6)
    parameters = parse_parameters(read_parameters("a.png"))
    assert (parameters.width, parameters.height, parameters.steps, parameters.strength) == (64, 64, 3, 0.6)
    assert [entry for entry in parameters.extra if entry[0].startswith("Hires")] == [
        ("Hires upscale", "1.5"),
        ("Hires steps", "2"),
        ("Hires upscaler", "Latent (bicubic)"),
    ]
    assert main(["generate", "--from", "a.png", "--out", "b.png", *common[:2]]) == 0
    told, summary = capsys.readouterr().err.splitlines()
    assert "hires 1.5x by Latent (bicubic), strength 0.6" in told
    assert summary.startswith("96x96, 3 steps, ")
    first, second = (
        np.asarray(latentrt.pictures.images.load_image(tmp_path / name)) for name in ("a.png", "b.png")
    )
    assert first.shape == (96, 96, 3)
    assert np.array_equal(first, second)
    assert read_parameters("a.png") == read_parameters("b.png")


@pytest.mark.parametrize("like", ["diffusers", "a1111", "comfyui"])
def test_a_second_pass_that_is_another_comes_again_from_its_own_text(demo, like):
    hires = Hires(
        size=(96, 72),
        steps=2,
        crop=True,
        sampler="euler",
        schedule="karras",
        guidance_scale=3.0,
        prompt="a ring: green, small",
        negative_prompt="grey",
        seed=11,
    )
    asked = {"width": 64, "height": 64, "num_inference_steps": 2, "sampler": "euler_ancestral", "eta": 0.5}
    generation = demo.start_txt2img(PROMPT, hires=hires, seed=[4, 9], like=like, **asked)
    second = generation.request
    assert (second.sampler.key, second.sampler.sigma_schedule) == ("euler", "karras")
    assert (second.prompt, second.negative_prompt, second.guidance.points) == (hires.prompt, "grey", (3.0,))
    assert [batch.seeds for batch in second.seeds.batches] == [(11, 12)]
    result = generation.result()
    assert result.images[0].size == (96, 72)
    told = latentrt.recall(format_parameters(result.parameters[0]))
    assert told["hires"] == replace(hires, sampler="Euler", schedule="Karras", upscaler="Latent")
    again = demo.txt2img(**told)
    np.testing.assert_allclose(again.latents, result.latents[:1], rtol=0, atol=1e-5)


def test_options_that_do_nothing_are_refused(capsys):
    assert main(["generate", "a", "--hires-steps", "3"]) == 2
    assert "--hires-steps: does nothing without --hires" in capsys.readouterr().err
    for value in ("x", "2", "0.5y", "999x"):
        assert main(["generate", "a", "--hires", value]) == 2
