"""What noise AUTOMATIC1111's pictures begin with: seeds, batches, variations, seed resize, both generators."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from latentrt.noise import (
    NoiseSource,
    PerImage,
    PhiloxGenerator,
    Reseeded,
    SeedResize,
    TorchGenerator,
    Variation,
)

GENERATORS: dict[str, Callable[[int], NoiseSource]] = {"CPU": TorchGenerator, "NV": PhiloxGenerator}


def picture(case: dict[str, Any], index: int) -> NoiseSource:
    """The noise of one picture, as the program's own settings say."""
    settings, seed = case["settings"], case["seeds"][index]
    options = settings["override_settings"]
    generator = GENERATORS[options["randn_source"]]
    strength = settings.get("subseed_strength", 0.0)

    def varied(source: NoiseSource) -> NoiseSource:
        return Variation(source, generator(case["subseeds"][index]), strength) if strength else source

    source = varied(generator(seed))
    if "seed_resize_from_w" in settings:
        size = settings["seed_resize_from_h"] // 8, settings["seed_resize_from_w"] // 8
        source = SeedResize(generator(seed), source, size)
    delta = options.get("eta_noise_seed_delta", 0)
    return Reseeded(source, generator(seed + delta)) if delta else source


def test_the_noise_of_every_case(data_file: Callable[[str], Path]) -> None:
    index = data_file("a1111/index.json")
    cases = json.loads(index.read_text())["cases"]
    assert {"seed_resize", "ensd", "variation", "batch", "rng"} <= {case["kind"] for case in cases}
    for case in cases:
        with np.load(index.parent / case["arrays"]) as arrays:
            theirs = arrays["noise"]
        ours = PerImage([picture(case, i) for i in range(len(case["seeds"]))]).randn(theirs.shape)
        # img2img's, of all that is added.
        ours = ours * np.float32(case["settings"].get("initial_noise_multiplier", 1.0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6, err_msg=case["name"])
