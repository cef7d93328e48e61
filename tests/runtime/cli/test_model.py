"""The command line over a whole model: random weights always, the included demo's where they are."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentrt.cli import main
from latentrt.errors import LatentrtError
from latentrt.models.bundle import open_model
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import parse_parameters


@pytest.fixture
def model(random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(random_model)


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


QUICK = ["--steps", "2", "--size", "64x64", "--device", "cpu", "--quiet"]


def test_generate_and_make_it_again(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "generate",
        "a red heart",
        "--model",
        model,
        *QUICK,
        "--negative",
        "blue",
        "--sampler",
        "Euler a",
    ]
    assert main([*command, "--seed", "5", "--count", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == ["latentrt-5.png", "latentrt-6.png"]
    assert set(report["timings"]) >= {"load", "text_encoder", "unet", "vae_decoder", "total"}
    p = parse_parameters(str(read_parameters("latentrt-6.png")))
    assert (p.prompt, p.negative_prompt, p.sampler, p.seed, p.steps) == (
        "a red heart",
        "blue",
        "Euler a",
        6,
        2,
    )
    assert (p.width, p.height, p.model) == (64, 64, Path(model).name)

    # The second of two, alone, from its own metadata.
    again = [
        "generate",
        "--from",
        "latentrt-6.png",
        "--model",
        model,
        "--device",
        "cpu",
        "--out",
        "again.png",
    ]
    assert main(again) == 0
    out, err = capsys.readouterr()
    assert out == "again.png\n"
    assert "seed 6" in err
    assert np.array_equal(pixels("again.png"), pixels("latentrt-6.png"))
    assert not np.array_equal(pixels("again.png"), pixels("latentrt-5.png"))


def test_karras_comes_back_from_metadata(model: str) -> None:
    command = [
        "generate",
        "x",
        "--model",
        model,
        *QUICK,
        "--sampler",
        "dpmpp_2m_karras",
        "--out",
        "a.jpg",
        "--seed",
        "0",
    ]
    assert main(command) == 0
    p = parse_parameters(str(read_parameters("a.jpg")))
    assert (p.sampler, p.schedule_type) == ("DPM++ 2M", "Karras")
    assert main(["generate", "--from", "a.jpg", "--model", model, *QUICK[4:], "--out", "b.jpg"]) == 0
    assert Path("a.jpg").read_bytes() == Path("b.jpg").read_bytes()


def test_a_sampler_that_only_the_config_says_comes_back_from_metadata(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name says "heun": without the class, the same picture would be painted by midpoint."""
    root = shutil.copytree(model, tmp_path / "heun")
    config = root / "scheduler" / "scheduler_config.json"
    changed = {"_class_name": "DPMSolverMultistepScheduler", "solver_type": "heun"}
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    options = ["--model", str(root), "--device", "cpu", "--quiet"]
    asked = ["generate", "x", *options, "--size", "64x64", "--steps", "5", "--seed", "0"]
    assert main([*asked, "--sampler", "DPMSolverMultistepScheduler", "--out", "a.png"]) == 0
    assert main(["generate", "--from", "a.png", *options, "--out", "b.png"]) == 0
    assert main([*asked, "--sampler", "DPM++ 2M", "--out", "c.png"]) == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    assert not np.array_equal(pixels("a.png"), pixels("c.png"))


def test_img2img_encode_and_decode(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.linear_gradient("L").resize((70, 50)).convert("RGB").save("in.png")
    command = [
        "img2img",
        "a ring",
        "--image",
        "in.png",
        "--strength",
        "0.6",
        "--model",
        model,
        "--steps",
        "3",
    ]
    assert main([*command, "--seed", "1", "--device", "cpu", "--quiet", "--out", "out.webp"]) == 0
    assert pixels("out.webp").shape == (48, 64, 3)
    assert parse_parameters(str(read_parameters("out.webp"))).strength == 0.6
    assert (
        main(["encode", "in.png", "--model", model, "--device", "cpu", "--quiet", "--out", "l.safetensors"])
        == 0
    )
    assert read_safetensors(Path("l.safetensors"))["latents"].shape == (1, 4, 6, 8)
    assert main(["decode", "l.safetensors", "--model", model, "--device", "cpu", "--out", "back.png"]) == 0
    assert pixels("back.png").shape == (48, 64, 3)
    assert capsys.readouterr().out.split() == ["out.webp", "l.safetensors", "back.png"]


@pytest.mark.filterwarnings("default:the prompt is longer")
def test_a_long_prompt_says_what_was_cut(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "red " * 40 + "heart, Blue"
    assert main(["generate", prompt, "--model", model, *QUICK, "--count", "2", "--out", "a.png"]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1  # once, not for each batch
    assert err.startswith("latentrt: warning: the prompt is longer than")
    assert "heart, Blue" in err


def test_info(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", model, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "diffusers folder"
    assert set(facts["components"]) == {"text_encoder", "unet", "vae_encoder", "vae_decoder"}
    unet = facts["components"]["unet"]
    assert (unet["graph"]["parameters"], unet["dtypes"]) == (326, ["F32"])
    assert unet["files"]["diffusion_pytorch_model.safetensors"] > 4 * unet["parameters"]
    assert facts["defaults"]["width"] == 128
    assert main(["info", model]) == 0
    assert "unet: UNet2DConditionModel" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["generate", "x", "--model", "none"], 1, "none: no such model"),
        (["generate", "x", "--model", "."], 1, "has no model_index.json"),
        (["generate", "x", "--model", "MODEL", "--sampler", "nope"], 2, "dpmpp_2m (DPM++ 2M)"),
        (["generate", "x", "--model", "MODEL", "--steps", "5000"], 2, "5000"),
        (["generate", "x", "--model", "MODEL", "--size", "100x64"], 2, "expected a multiple of 8, got 100"),
        (["generate", "x", "--model", "MODEL", "--clip-skip", "99", *QUICK], 2, "--clip-skip"),
        (["generate", "x", "--model", "MODEL", "--sampler", "euler", "--eta", "1"], 2, "eta"),
        (["info", "none"], 1, "none: no such model"),
        (["verify", "."], 1, "has no latentrt.json"),
        (["decode", "bad.safetensors", "--out", "a.png", "--model", "MODEL"], 1, "bad.safetensors"),
        (
            ["decode", "odd.safetensors", "--out", "a.png", "--model", "MODEL"],
            2,
            "expected floats (b, c, h, w)",
        ),
        (["decode", "few.safetensors", "--out", "a.png", "--model", "MODEL"], 2, "(b, 4, h, w)"),
        (
            ["decode", "two.safetensors", "--out", "a.png", "--model", "MODEL"],
            2,
            "expected a tensor `latents`",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], code: int, reason: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.safetensors").write_bytes(b"\xff" * 64)
    zeros = np.zeros((1, 4, 8, 8), np.float32)
    write_safetensors(Path("odd.safetensors"), {"latents": zeros[0]})
    write_safetensors(Path("few.safetensors"), {"latents": zeros[:, :3]})
    write_safetensors(Path("two.safetensors"), {"a": zeros, "b": zeros})
    before = sorted(Path().iterdir())
    # `auto` warns of what is installed and does not run.
    device = ["--device", "cpu"] if "MODEL" in words else []
    assert main([*(model if word == "MODEL" else word for word in words), *device]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("latentrt: error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert sorted(Path().iterdir()) == before


def test_a_provider_that_is_not_here_is_said(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    from latentrt.engine import providers

    absent = [status.name for status in providers.survey() if not status.available]
    if not absent:
        pytest.skip("every provider is here")
    for name in absent:
        assert main(["generate", "x", "--model", model, "--device", name]) == 1
        assert capsys.readouterr().err.startswith(f"latentrt: error: device {name}: ")


STEPS = """
    import sys
    from latentrt.cli import main
    from latentrt.engine.session import Session

    run = Session.run

    def told(self, *arguments):
        if self.component == "unet":
            print("step", file=sys.stderr, flush=True)
        return run(self, *arguments)

    Session.run = told
    sys.exit(main())
"""


def test_ctrl_c_in_the_middle_of_a_real_step(model: str) -> None:
    command = ["generate", "x", "--model", model, "--steps", "900", "--size", "384x384", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STEPS), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "step\n":
            break
    time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert err.splitlines()[-1] == "latentrt: interrupted"
    assert (out, "Traceback" in err) == ("", False)
    assert not list(Path().iterdir())


def demo_is_here() -> bool:
    try:
        return all(component.weights for component in open_model("demo").components.values())
    except LatentrtError:
        return False


@pytest.mark.skipif(not demo_is_here(), reason="the demo model's weights are not in this checkout")
def test_the_demo_paints(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "latentrt",
            "generate",
            "a large red heart on a blue background",
            "--seed",
            "7",
            "--device",
            "cpu",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "latentrt-7.png\n"
    assert time.monotonic() - started < 60
    red, green, blue = pixels(tmp_path / "latentrt-7.png")[64, 64]
    assert red > green
    assert red > blue
