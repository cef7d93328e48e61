"""`latentrt info PICTURE`: text, writer, settings, and what would not be heeded."""

import json
from pathlib import Path

import pytest
from PIL import Image

from latentrt.cli import main
from latentrt.pictures.images import save_image

TEXT = "a (red:1.2) heart\nSteps: 4, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 2, Size: 16x16"


def told(capsys: pytest.CaptureFixture[str], name: str = "a.png") -> dict:
    assert main(["info", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{TEXT}, ENSD: 31337, Version: v1.10.1\n\nTemplate: x"
    save_image(Image.new("RGB", (16, 8)), "a.png", text)
    facts = told(capsys)
    refused = facts.pop("refused")
    assert refused.startswith("the prompt was no plain text to AUTOMATIC1111")
    assert facts == {
        "name": "a.png",
        "path": "a.png",
        "kind": "picture",
        "width": 16,
        "height": 8,
        "texts": [{"place": "PNG text parameters", "text": text}],
        "writer": {"name": "AUTOMATIC1111", "version": "v1.10.1", "like": "a1111"},
        "place": "PNG text parameters",
        "text": text,
        "prompt": "a (red:1.2) heart",
        "negative_prompt": "",
        "entries": {
            "Steps": "4",
            "Sampler": "DPM++ 2M",
            "Schedule type": "Automatic",
            "CFG scale": "2",
            "Size": "16x16",
            "ENSD": "31337",
        },
        "behind": ["Template: x"],
        "settings": {
            "prompt": "a (red:1.2) heart",
            "rng": "nv",
            "sampler": "DPM++ 2M",
            "schedule": "karras",
            "width": 16,
            "height": 16,
            "num_inference_steps": 4,
            "guidance_scale": 2.0,
            "like": "a1111",
            "eta_seed_delta": 31337,
        },
        "noise": "as torch on CUDA (AUTOMATIC1111's default)",
        "not_heeded": [],
        "not_told": ["Seed"],
    }
    assert main(["info", "a.png"]) == 0
    out = capsys.readouterr().out
    for row in (
        "a.png: picture, 16x8",
        "  writer     AUTOMATIC1111 v1.10.1",
        "  place      PNG text parameters",
        "  text       a (red:1.2) heart",
        "  behind it  Template: x",
        "  setting    schedule: karras",
        "  noise      as torch on CUDA (AUTOMATIC1111's default)",
        "  not told   Seed",
        f"  refused    {refused}",
    ):
        assert f"{row}\n" in out, row


def test_a_second_pass_and_a_picture_over_another(capsys: pytest.CaptureFixture[str]) -> None:
    plain = TEXT.replace("(red:1.2) ", "") + ", Seed: 1, Denoising strength: 0.5, "
    save_image(Image.new("RGB", (8, 8)), "a.png", f"{plain}Hires upscale: 2, Hires upscaler: Latent")
    facts = told(capsys)
    assert facts["refused"] is None
    assert facts["settings"]["hires"] == {
        "scale": 2.0,
        "size": None,
        "steps": 4,
        "strength": 0.5,
        "upscaler": "Latent",
        **dict.fromkeys(
            ("crop", "sampler", "schedule", "guidance_scale", "prompt", "negative_prompt", "seed")
        ),
    }
    save_image(Image.new("RGB", (8, 8)), "a.png", f"{plain}Version: v1.10.1")
    facts = told(capsys)
    assert "painted over another picture" in facts["refused"]
    assert facts["settings"]["strength"] == 0.5


def test_pictures_without_a_text_or_with_another(capsys: pytest.CaptureFixture[str]) -> None:
    save_image(Image.new("RGB", (8, 8)), "a.png")
    assert (told(capsys)["text"], told(capsys)["writer"], told(capsys)["refused"]) == (None, None, None)
    assert main(["info", "a.png"]) == 0
    assert capsys.readouterr().out == "a.png: picture, 8x8\n  text       none\n"
    save_image(Image.new("RGB", (8, 8)), "a.jpg", "a cat on a mat")
    facts = told(capsys, "a.jpg")
    assert (facts["writer"], facts["texts"][0]["text"]) == (None, "a cat on a mat")
    assert "the text is not understood" in facts["refused"]
    assert main(["info", "a.jpg"]) == 0
    assert "  EXIF UserComment a cat on a mat\n  refused    a.jpg: the text is not" in capsys.readouterr().out
    save_image(Image.new("RGB", (8, 8)), "a.webp", '{"3": {"class_type": "KSampler"}}')
    facts = told(capsys, "a.webp")
    assert facts["writer"] == {"name": "ComfyUI", "version": None, "like": "comfyui"}
    assert facts["refused"].startswith("a workflow of ComfyUI, of 1 nodes")
    assert facts["settings"] is None


def test_a_picture_that_is_broken_fails(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.png").write_bytes(b"no picture")
    assert main(["info", "a.png"]) == 1
    assert "a.png: not a picture that can be read here" in capsys.readouterr().err


@pytest.mark.filterwarnings("always:.*lacks the marker")
def test_a_warning_of_the_file_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    save_image(Image.new("RGB", (16, 16), "red"), "a.jpg", TEXT)
    Path("a.jpg").write_bytes(Path("a.jpg").read_bytes().removesuffix(b"\xff\xd9"))
    assert main(["info", "a.jpg", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["text"] == TEXT
    assert err.count("lacks the marker") == 1
