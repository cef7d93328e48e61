"""From one pass to the next: ways to enlarge, and what becomes of other proportions."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentrt import Hires
from latentrt.errors import SettingError
from latentrt.painting.enlarging import Enlarging
from latentrt.painting.upscale import UPSCALERS, bislerp
from latentrt.pictures import images


def turned(one: list[float], other: list[float], share: float) -> list[float]:
    """Between two vectors: length linearly, direction by angle."""
    lengths = [math.hypot(*one), math.hypot(*other)]
    ways = [[v / n if n else 0.0 for v in x] for x, n in zip((one, other), lengths, strict=True)]
    cosine = sum(a * b for a, b in zip(*ways, strict=True))
    if cosine > 1 - 1e-5:
        return one
    if cosine < 1e-5 - 1:
        return [(1 - share) * a + share * b for a, b in zip(one, other, strict=True)]
    angle, length = math.acos(cosine), (1 - share) * lengths[0] + share * lengths[1]
    weights = [math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)]
    return [length * (weights[0] * a + weights[1] * b) for a, b in zip(*ways, strict=True)]


def along(row: list[list[float]], after: int) -> list[list[float]]:
    made = []
    for i in range(after):
        at = min(max((i + 0.5) * len(row) / after - 0.5, 0), len(row) - 1)
        low = math.floor(at)
        made.append(turned(row[low], row[min(low + 1, len(row) - 1)], at - low))
    return made


SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_bislerp_turns_across_then_down(before, after, seed):
    x = np.random.default_rng(seed).standard_normal((1, 4, *before)).astype(np.float32)
    wide = [along(row, after[1]) for row in x[0].transpose(1, 2, 0).tolist()]
    columns = [along([row[i] for row in wide], after[0]) for i in range(after[1])]
    np.testing.assert_allclose(bislerp(x, after)[0], np.array(columns).transpose(2, 1, 0), rtol=0, atol=2e-5)


def test_bislerp_keeps_what_has_no_way_between():
    up = np.float32([[1, 0], [2, 0], [-1, 0], [0, 0]]).T.reshape(1, 2, 1, 4)
    lengths = bislerp(up, (1, 8))[0, 0, 0]
    # Of the same direction the first; straight through 0 between opposite ones; nothing stands at a right angle to all.
    ends = [-0.75 * math.sin(3 * math.pi / 8), -0.25 * math.sin(math.pi / 8), 0]
    np.testing.assert_allclose(lengths, [1, 1, 1, 1.25, -0.25, *ends], atol=1e-6)


@pytest.mark.parametrize(
    ("first", "size", "fit", "made", "covered"),
    [
        ((64, 64), (256, 160), "behind", (256, 160), (256, 256)),
        ((64, 64), (160, 256), "behind", (160, 256), (256, 256)),
        ((96, 64), (250, 250), "behind", (248, 248), (375, 250)),  # 46 latents, of which 15 are left out
        ((96, 64), (256, 170), "behind", (256, 168), (256, 170)),
        ((64, 64), (112, 72), "before", (112, 72), (112, 72)),
        ((64, 64), (116, 76), "stretched", (112, 72), (112, 72)),
    ],
)
def test_other_proportions(first, size, fit, made, covered):
    assert Hires(size=size).target(*first, 8, fit) == (made, covered)


def test_what_is_done_with_other_proportions_is_the_programs_or_what_is_asked_for():
    ways = [(fit, crop) for fit in ("refused", "behind", "stretched") for crop in (None, True, False)]
    known = {way: Hires(crop=way[1]).fit(way[0]) for way in ways if way != ("behind", False)}
    assert set(known.items()) == {
        (("refused", None), "refused"),
        (("refused", True), "before"),
        (("refused", False), "stretched"),
        (("behind", None), "behind"),
        (("behind", True), "behind"),
        (("stretched", None), "stretched"),
        (("stretched", True), "before"),
        (("stretched", False), "stretched"),
    }
    with pytest.raises(SettingError, match="hires crop"):
        Hires(crop=False).fit("behind")


@dataclass
class Plain:
    """An autoencoder whose latents are the picture's levels, every eighth."""

    factor: int = 8

    def decode(self, latents):
        return np.repeat(np.repeat(latents[:, :3], 8, axis=2), 8, axis=3)

    def encode(self, pixels):
        return pixels[:, :, ::8, ::8], None

    def scaled(self, latents):
        return latents


def test_the_middle_is_cut_out_behind_or_before():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    nearest = UPSCALERS["latent-nearest"]
    whole = x.repeat(2, axis=2).repeat(2, axis=3)
    behind = Enlarging(nearest, (128, 128), (128, 88), "behind")(x, Plain())
    np.testing.assert_array_equal(behind, whole[:, :, 2:13])  # of 5 rows 2 above
    before = Enlarging(nearest, (128, 64), (128, 64), "before")(x, Plain())
    np.testing.assert_array_equal(before, whole[:, :, 4:12])


@pytest.mark.parametrize(("truncated", "level"), [(True, 100), (False, 101)])
def test_levels_of_a_picture_are_rounded_or_cut(truncated, level):
    latents = np.full((1, 3, 2, 2), 100.7 / 127.5 - 1, np.float32)
    enlarging = Enlarging(UPSCALERS["nearest"], (32, 32), (32, 32), truncates=truncated)
    np.testing.assert_allclose(enlarging(latents, Plain()), level / 127.5 - 1, atol=1e-6)


def test_a_picture_is_enlarged_alike_both_ways_and_brought_to_its_size_by_lanczos():
    """Where the two sides' ratios part, as AUTOMATIC1111 does."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    made = Enlarging(UPSCALERS["nearest"], (168, 104), (168, 104), "behind")._resized(picture)
    by_hand = picture.resize((168, 112), Image.Resampling.NEAREST).resize(
        (168, 104), Image.Resampling.LANCZOS
    )
    assert made.tobytes() == by_hand.tobytes()
    assert images.resize_to(made, 168, 104) is made
