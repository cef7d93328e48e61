"""What counts where nothing is asked for; and schedules given number by number."""

import json
import shutil

import pytest
from PIL import Image

import latentrt
from latentrt import Hires, ModelError, SettingError
from latentrt.cli import main
from latentrt.models.bundle import open_model
from latentrt.painting.parameters import parameters_of
from latentrt.painting.request_maker import make_request

DMD2 = {"sampler": "lcm", "timesteps": [999, 749, 499, 249], "guidance_scale": 0}
HYPER = {"sampler": "tcd", "timesteps": [800], "eta": 1.0, "guidance_scale": 0, "num_inference_steps": 1}


@pytest.fixture
def advised(random_model, tmp_path):
    """Opens a model whose maker advises something."""
    root = shutil.copytree(random_model, tmp_path / "model")

    def open_advised(advice):
        (root / "generation_config.json").write_text(json.dumps(advice))
        return open_model(root)

    return open_advised


@pytest.mark.parametrize(
    ("advice", "asked", "sampler", "timesteps", "eta"),
    [
        (DMD2, {}, "lcm", [999, 749, 499, 249], None),
        (DMD2, {"num_inference_steps": 2}, "lcm", [999, 499], None),
        (DMD2, {"timesteps": [900, 100]}, "lcm", [900, 100], None),
        (DMD2, {"sampler": "euler"}, "euler", None, None),
        (HYPER, {}, "tcd", [800], 1),
        (HYPER, {"eta": 0.25}, "tcd", [800], 0.25),
        (HYPER, {"num_inference_steps": 2}, "tcd", [999, 499], 1),
        (HYPER, {"sampler": "ddim"}, "ddim", None, None),
        (HYPER, {"sampler": "tcd"}, "tcd", [999], None),
        ({}, {}, "ddim", None, None),
    ],
)
def test_advice_counts_together_or_not_at_all(advised, advice, asked, sampler, timesteps, eta):
    model = advised(advice)
    request = make_request(model, "txt2img", "a", **asked)
    assert (request.sampler.key, request.settings["eta"]) == (sampler, eta)
    if timesteps is not None:
        assert request.schedule.timesteps.tolist() == timesteps
    steps = len(request.schedule)
    assert (
        request.num_inference_steps
        == steps
        == asked.get("num_inference_steps", len(timesteps or []) or steps)
    )
    (parameters,) = parameters_of(request, model)
    wanted = asked or advice
    assert (
        parameters.told["timesteps"] == (tuple(wanted["timesteps"]) if "timesteps" in wanted else None)
        or asked
    )


def test_without_advice_there_are_25_steps_and_7_5(advised):
    request = make_request(advised({}), "txt2img", "a")
    assert (request.num_inference_steps, request.guidance.points) == (25, (7.5,))
    request = make_request(advised({"timesteps": [9, 5, 1]}), "txt2img", "a", sampler="euler")
    assert request.num_inference_steps == 3


@pytest.mark.parametrize(
    ("advice", "message"),
    [
        ({"eta": 2}, r"generation_config\.json: eta: expected a number from 0 to 1, got 2"),
        (
            {"guidance_rescale": -0.5},
            r"generation_config\.json: guidance_rescale: expected a number from 0 to 1",
        ),
        ({"timesteps": [1, 2]}, r"generation_config\.json: timesteps: expected numbers that descend"),
        ({"timesteps": [5, 2], "sampler": "unipc"}, r"generation_config\.json: timesteps: \w+ takes none"),
        (
            {"timesteps": [5, 2], "sampler": "lcm", "num_inference_steps": 3},
            r"generation_config\.json: num_inference",
        ),
        ({"eta": 0.5, "sampler": "euler"}, r"generation_config\.json: eta: euler has none"),
        ({"timesteps": "x"}, r"generation_config\.json: timesteps is 'x'; expected a list of numbers"),
        (
            {"timesteps": [float("1e400")]},
            r"generation_config\.json: timesteps is \[inf\]; expected a list of numbers",
        ),
        ({"eta": "x"}, r"generation_config\.json: eta is 'x'; expected a finite number"),
    ],
)
def test_advice_that_cannot_be_is_blamed_on_its_file(advised, advice, message):
    if "timesteps" in advice and "sampler" not in advice:
        advice = {**advice, "sampler": "lcm"}
    with pytest.raises(ModelError, match=message):
        make_request(advised(advice), "txt2img", "a")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"timesteps": []}, "timesteps: expected a list of numbers, one at least"),
        ({"timesteps": 5}, "timesteps: expected a list of numbers, one at least"),
        ({"timesteps": [5, "x"]}, "timesteps: expected a finite number, got 'x'"),
        ({"timesteps": [5, -1]}, "timesteps: expected a number of 0 or more"),
        ({"timesteps": [5, 9], "sampler": "lcm"}, "timesteps: expected numbers that descend"),
        ({"timesteps": [5, 1], "sampler": "ddim"}, "timesteps: DDIMScheduler takes none"),
        (
            {"timesteps": [5, 1], "sampler": "euler", "num_inference_steps": 3},
            "num_inference_steps: timesteps of",
        ),
        (
            {"timesteps": [5, 1], "sampler": "euler", "schedule": "simple"},
            "timesteps: expected None with the schedule",
        ),
        ({"timesteps": [5, 1], "sigmas": [1, 0], "sampler": "euler"}, "timesteps: expected None with sigmas"),
        ({"sigmas": [0, 1], "sampler": "euler"}, "sigmas: expected two or more that descend"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(advised, asked, message):
    with pytest.raises(SettingError, match=message):
        make_request(advised({}), "txt2img", "a", **asked)


def test_a_second_pass_takes_no_timesteps(random_model):
    with pytest.raises(SettingError, match="timesteps: does not go with hires"):
        latentrt.load(random_model, device="cpu").start_txt2img(
            "a", hires=Hires(2.0), timesteps=[9, 1], sampler="euler"
        )


def test_img2img_leaves_out_the_first_of_them(advised):
    picture = Image.new("RGB", (64, 64))
    asked = {"timesteps": [900, 600, 300, 100], "sampler": "euler", "strength": 0.5}
    request = make_request(advised({}), "img2img", "a", picture, **asked)
    assert request.schedule.timesteps.tolist() == [300, 100]


@pytest.mark.parametrize(
    ("given", "timesteps", "steps"),
    [
        ({}, (900.0, 250.5), 2),
        ({"num_inference_steps": 3}, None, 3),
        ({"num_inference_steps": 2}, (900.0, 250.5), 2),
        ({"timesteps": [7, 5, 3]}, [7, 5, 3], None),
        ({"sampler": "heun"}, None, 2),
        ({"schedule": "simple"}, None, 2),
    ],
)
def test_a_pictures_timesteps_come_back_unless_others_are_asked_for(advised, given, timesteps, steps):
    from latentrt.pictures.metadata import format_parameters

    model = advised({})
    request = make_request(model, "txt2img", "a", timesteps=[900, 250.5], sampler="euler", seed=1)
    text = format_parameters(parameters_of(request, model)[0])
    assert "Steps: 2, " in text and "Timesteps: 900 250.5" in text
    recalled = latentrt.recall(text, **given)
    assert (recalled.get("timesteps"), recalled.get("num_inference_steps")) == (timesteps, steps)


def test_the_command_line_takes_and_shows_them(advised, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = advised(HYPER).root
    assert main(["info", str(root)]) == 0
    said = capsys.readouterr().out
    assert "1 steps, guidance scale 0, TCD" in said and "timesteps 800, eta 1" in said
    assert main(["info", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["defaults"]
    assert (told["timesteps"], told["eta"], told["steps"], told["guidance_scale"]) == ([800.0], 1.0, 1, 0.0)
    words = [
        "generate",
        "a",
        "--model",
        str(root),
        "--device",
        "cpu",
        "--size",
        "64x64",
        "--quiet",
        "--seed",
        "1",
    ]
    assert main([*words, "--timesteps", "900,300", "--json", "--out", "x.png"]) == 0
    told = json.loads(capsys.readouterr().out)["settings"]
    assert (told["timesteps"], told["steps"], told["sampler"]) == ([900.0, 300.0], 2, "TCD")
    assert main([*words, "--timesteps", "x"]) == 2
    assert "--timesteps: expected a finite number, got 'x'" in capsys.readouterr().err
