"""Wrong usage: one line that names the option, exit code 2, and nothing is loaded."""

from pathlib import Path

import pytest
from grey_pipeline import Asked
from PIL import Image

from latentrt.cli import main


def test_an_unknown_option_names_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--stepz", "3"]) == 2
    err = capsys.readouterr().err
    assert "unrecognized arguments: --stepz 3" in err
    assert "latentrt generate --help" in err
    assert main(["generate", "a", "cat"]) == 2
    assert "unrecognized arguments: cat; a value of several words stands in quotes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "required: COMMAND"),
        ("paint", "invalid choice: 'paint'"),
        ("generate", "expected a PROMPT"),
        ("generate cat --size 0x64", "expected sides of 1 or more, got 0x64"),
        ("generate cat --size 16384x64 --out a.webp", "16384x64 is too large for a WEBP file"),
        ("generate cat --size 64x65504 --out a-{seed}.jpg", "too large for a JPEG file"),
        (f"generate {'x' * 31_000} --out a.jpg", "prompts are too long for a JPEG file"),
        (f"generate cat --out {'a' * 240}.png", "file name of at most 220 bytes"),
        ("generate cat --size 64", "expected WIDTHxHEIGHT"),
        ("generate cat --size -8x8", "size"),
        ("generate cat --size 80000x80000", "at most"),
        ("generate cat --steps 0", "expected a whole number of 1 or more, got '0'"),
        ("generate cat --steps -3", "steps"),
        ("generate cat --steps 1.5", "expected a whole number"),
        ("generate cat --guidance-scale nan", "expected a finite number, got 'nan'"),
        ("generate cat --guidance-scale inf", "expected a finite number"),
        ("generate cat --guidance-scale x", "expected a finite number"),
        ("generate cat --seed -2", "or -1 for a random one, got '-2'"),
        ("generate cat --seed 18446744073709551616", "expected 0 to 18446744073709551615"),
        ("generate cat --seed 18446744073709551615 --count 2", "go beyond"),
        ("generate cat --count 0", "expected a whole number"),
        ("generate cat --count 10001", "expected a whole number from 1 to 10000, got '10001'"),
        ("generate cat --eta 2", "expected a number from 0 to 1, got '2'"),
        ("generate cat --clip-skip -1", "clip-skip"),
        ("generate cat --device tpu", "invalid choice: 'tpu'"),
        ("generate cat --out a.xyz", "expected one of .png"),
        ("generate cat --out none/a.png", "none: no such folder"),
        ("generate cat --ou a.png", "unrecognized arguments: --ou"),
        ("img2img cat", "required: --image"),
        ("img2img cat --image in.png --strength -0.1", "expected a number from 0 to 1, got '-0.1'"),
        ("inpaint cat --image in.png --mask in.png --mask-blur 1e300", "from 0 to 10000, got '1e300'"),
        ("img2img cat --image in.png --strength 1.1", "expected a number from 0 to 1"),
        ("img2img cat --image in.png --strength nan", "expected a finite number"),
        ("encode in.png --out a.bin", "expected .safetensors"),
        ("encode in.png --out none/a.safetensors", "no such folder"),
        ("decode none.safetensors --out a.png", "no such file"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_is_loaded(
    words: str, reason: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save("in.png")
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("latentrt: error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert asked.calls == []
    assert [path.name for path in Path().iterdir()] == ["in.png"]
