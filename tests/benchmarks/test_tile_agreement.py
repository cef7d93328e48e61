"""How far tiles are from the whole: the figures of a table are those of its pictures."""

import numpy as np
import pytest

import latentrt
from latentrt.pictures import images
from latentrt_bench.tile_agreement import Agreement, differences, halves, main, spectrum

SIZE, TILE = 192, 128


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32", tile="off") as pipeline:
        yield pipeline


def test_a_row_is_the_range_over_its_pictures():
    agreement = Agreement("noise", 512, [(3.0, 0.25), (12.0, 1.0), (5.0, 0.126)])
    assert agreement.row(0) == "| noise | 3 | 512 | 3 to 12 | 0.13 to 1.00 |"
    assert agreement.row(1) == "| noise | 3 | 512 | 3.0 to 12.0 | 0.13 to 1.00 |"


def test_the_spectrum_falls_off_as_that_of_photographs():
    grey = np.asarray(spectrum(1, 256), float).mean(axis=2)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    bands = [power[(frequency >= f) & (frequency < 1.5 * f)].mean() for f in (0.02, 0.04, 0.08)]
    assert np.log2(bands[:-1]) - np.log2(bands[1:]) == pytest.approx(
        2, abs=0.6
    )  # amplitude 1/f is power 1/f²
    assert (np.asarray(spectrum(1, 64)) != np.asarray(spectrum(2, 64))).any()


def test_half_is_flat():
    picture = np.asarray(halves(3, 64))
    assert (picture[:, :32] == picture[0, 0]).all()
    assert picture[:, 32:].std() > 10


def test_differences_are_those_of_the_pictures_in_grey_levels(demo):
    picture = halves(0, SIZE)
    [(tile, largest, mean)] = differences(demo, picture, "decode", [TILE])
    pixels = images.to_array(picture)
    latents = demo.autoencoder.scaled(demo.autoencoder.encode(pixels, "off")[0])
    whole, tiled = (
        np.asarray(images.to_images(demo.autoencoder.decode(latents, how))[0], int) for how in ("off", TILE)
    )
    apart = np.abs(tiled - whole)
    assert (tile, largest) == (TILE, apart.max())
    assert mean == pytest.approx(apart.mean())
    assert largest > 0
    [(_, largest, mean)] = differences(demo, picture, "encode", [TILE])
    assert 0 < mean < largest < 100


def test_pictures_of_ones_own_are_a_kind(tmp_path, monkeypatch, capsys):
    for seed in (1, 2):
        spectrum(seed, 64).save(tmp_path / f"{seed}.png")
    paths = [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    command = ["tile_agreement", "demo", "--size", str(SIZE), "--tiles", str(TILE), "--pictures", *paths]
    monkeypatch.setattr("sys.argv", command)
    assert main() == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"| given | 2 | {TILE} | ")
    assert len(err.splitlines()) == 2
