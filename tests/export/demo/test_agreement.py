"""The demo's pictures in int8 beside those in fp32."""

import numpy as np
import pytest

from latentrt_export.demo.agreement import compare, main, psnr


def test_psnr():
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(grey, grey) == float("inf")
    assert psnr(grey, grey + np.uint8(1)) == pytest.approx(20 * np.log10(255))


def test_it_prints_and_draws(tmp_path, capsys):
    grid = tmp_path / "worst.png"
    assert main(["--count", "2", "--steps", "3", "--grid", str(grid)]) == 0
    assert '"psnr_worst"' in capsys.readouterr().out
    assert grid.is_file()


@pytest.mark.slow
def test_two_hundred_pictures_in_int8_are_those_of_fp32():
    told, _ = compare("demo", "int8", 200)
    assert told["psnr_mean"] > 50
    assert told["psnr_worst"] > 45
    assert abs(told["right"]["int8"] - told["right"]["fp32"]) <= 0.01
