"""The levels of pictures that are painted as other programs do: cut off to 8 bits."""

import numpy as np
import pytest
from a1111_cases import asked, read_case
from PIL import Image

import latentrt
from latentrt.pictures.images import to_images

INDEX = "a1111/index.json"


@pytest.mark.parametrize("name", ["sampler_euler", "img2img_06", "batch_euler"])
def test_automatic1111s_levels(name, data_file):
    index = data_file(INDEX)
    case = read_case(index, name)
    with latentrt.load("demo", device="cpu") as demo:
        if "init_images" in case.settings:
            over = {"image": index.parent / case.settings["init_images"][0]}
            strength = case.settings["denoising_strength"]
            result = demo.img2img(case.settings["prompt"], **over, strength=strength, **asked(case))
        else:
            result = demo.txt2img(case.settings["prompt"], **asked(case))
    off = np.abs(np.stack([np.asarray(image) for image in result.images]).astype(int) - case.arrays["images"])
    # Where a level is nearly whole, the last bits of a latent decide.
    assert off.max() <= 1
    assert off.mean() < 1e-3


def test_cut_off_and_rounded():
    pixels = (np.array([0, 0.4, 0.6, 254.6, 255]) / 127.5 - 1).astype(np.float32)
    picture = np.broadcast_to(pixels, (1, 3, 1, 5))
    cut, rounded = (np.asarray(to_images(picture, cut)[0])[0, :, 0].tolist() for cut in (True, False))
    assert cut == [0, 0, 0, 254, 255]
    assert rounded == [0, 0, 1, 255, 255]
    assert isinstance(to_images(picture)[0], Image.Image)
