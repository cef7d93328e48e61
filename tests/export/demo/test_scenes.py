"""The demo model's scenes, captions, pictures and probe."""

import numpy as np
import pytest

pytest.importorskip("torch")

from latentrt.models.demo import drawing, scenes
from latentrt_export.demo import probe


def _scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [scenes.sample_any(rng) for _ in range(count)]


def test_the_world_is_as_large_as_promised():
    assert len(scenes.SHAPES) >= 8
    assert len(scenes.COLOURS) >= 11
    assert len(scenes.BACKGROUNDS) >= 12
    assert len(scenes.SIZES) == 2
    assert set(drawing.OBJECT_RGB) == set(scenes.COLOURS)
    assert set(drawing.BACKGROUND_RGB) == set(scenes.BACKGROUNDS)


def test_captions_read_back_as_their_scene():
    rng = np.random.default_rng(1)
    for scene in _scenes(2000):
        text = scenes.caption(scene, rng)
        assert scenes.parse(text) == scene, text


def test_captions_vary():
    rng = np.random.default_rng(2)
    scene = scenes.parse("a large blue cross to the left of a small white ring on a brown background")
    texts = {scenes.caption(scene, rng) for _ in range(300)}
    assert len(texts) > 100
    assert any("right of" in text for text in texts)  # told from the other object's side


def test_what_is_left_out_is_the_default():
    scene = scenes.parse("a red star")
    assert scene == scenes.make_scene("white", [scenes.Item("centre", "large", "red", "star")])


@pytest.mark.parametrize(
    "text", ["", "a dog", "a red star beside a blue ring", "red star on a blue background"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="caption"):
        scenes.parse(text)


def test_training_never_draws_what_is_held_out():
    rng = np.random.default_rng(3)
    for _ in range(3000):
        scene = scenes.sample(rng)
        assert not scenes.held_out(scene)
        assert all((i.shape, i.colour) not in scenes.HELD_OUT_PAIRS for i in scene.items)


def test_held_out_scenes_are_of_the_kind_asked_for():
    rng = np.random.default_rng(4)
    for _ in range(50):
        assert scenes.has_held_out_pair(scenes.sample_held_out(rng, new_pair=True))
        scene = scenes.sample_held_out(rng, new_pair=False)
        assert scenes.held_out(scene)
        assert not scenes.has_held_out_pair(scene)


def test_held_out_does_not_depend_on_the_wording():
    a = scenes.parse("a red star left of a tiny blue ring on gray")
    b = scenes.parse("a little blue ring to the right of a big red star, grey background")
    assert a == b
    assert a.key == b.key


def test_some_scenes_are_held_out_and_most_are_not():
    share = np.mean([scenes.held_out(scene) for scene in _scenes(2000, 5)])
    assert 0.15 < share < 0.30


def test_pixels_are_the_same_for_a_seed_and_differ_for_another():
    for scene in _scenes(8, 6):
        first = drawing.render(scene, np.random.default_rng(7))
        assert first.dtype == np.uint8
        assert first.shape == (128, 128, 3)
        np.testing.assert_array_equal(first, drawing.render(scene, np.random.default_rng(7)))
        assert (first != drawing.render(scene, np.random.default_rng(8))).any()


def test_pixels_have_not_changed_since_the_weights_were_trained():
    scene = scenes.parse("a large blue cross to the left of a small white ring on a brown background")
    picture = drawing.render(scene, np.random.default_rng(0)).astype(float)
    # Loose enough for another libm, tight enough for any change of palette, place or light.
    np.testing.assert_allclose(picture.mean((0, 1)), FINGERPRINT, atol=0.05)


FINGERPRINT = (149.58, 122.48, 108.56)


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_shapes_are_closed_and_fill_their_frame(shape):
    y, x = np.mgrid[-1.6:1.6:161j, -1.6:1.6:161j]
    inside = drawing.signed_distance(shape, x, y) < 0
    assert not inside[0].any() and not inside[-1].any()
    assert not inside[:, 0].any() and not inside[:, -1].any()
    area = inside.mean() * 3.2**2
    assert 1.0 < area < 3.2


def test_the_probe_reads_rendered_pictures():
    rng = np.random.default_rng(9)
    wanted = _scenes(100, 10)
    right = [probe.look(drawing.render(scene, rng)) == scene for scene in wanted]
    assert np.mean(right) >= 0.99


def test_the_probe_sees_what_is_wrong():
    scene = scenes.parse("a large blue cross to the left of a small white ring on a brown background")
    rng = np.random.default_rng(11)
    for text, wrong in [
        ("a large blue cross to the right of a small white ring on a brown background", "shapes"),
        ("a large blue cross above a small white ring on a brown background", "relation"),
        ("a large blue star to the left of a small white ring on a brown background", "shapes"),
        ("a large red cross to the left of a small white ring on a brown background", "colours"),
        ("a small blue cross to the left of a small white ring on a brown background", "sizes"),
        ("a large blue cross to the left of a small white ring on a grey background", "background"),
        ("a large blue cross on a brown background", "relation"),
    ]:
        checks = probe.verdict(scenes.parse(text), probe.look(drawing.render(scene, rng)))
        assert not checks[wrong], text


def test_the_probe_refuses_what_is_no_drawing():
    rng = np.random.default_rng(12)
    scene = scenes.parse("a large blue cross on a brown background")
    picture = drawing.render(scene, rng)
    torn = picture.copy()
    torn[60:, 30:98] = torn[8:76, 0:68][:68]  # half of the cross replaced by background
    assert probe.look(torn) != scene
    assert probe.look(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)) is None
    assert probe.look(np.full((128, 128, 3), 200, np.uint8)) is None
