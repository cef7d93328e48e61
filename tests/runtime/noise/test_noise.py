"""Noise against stored vectors of torch (tools/make_golden.py), and what it refuses."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from latentrt.errors import InputError
from latentrt.noise import PerImage, TorchGenerator

with np.load(Path(__file__).parents[1] / "golden" / "noise.npz") as _file:
    VECTORS = {key: _file[key] for key in _file.files if key != "calls"}
    CALLS = json.loads(str(_file["calls"]))


@pytest.mark.parametrize("key", VECTORS)
def test_equals_torch_call_after_call(key: str) -> None:
    dtype, seed = key.split(":")
    generator = TorchGenerator(int(seed))
    at = 0
    for op, shape in CALLS:
        values = getattr(generator, op)(shape, dtype)
        assert values.shape == tuple(shape)
        assert values.dtype == np.dtype(dtype)
        kept = values.ravel()[::257] if values.size > 1000 else values.ravel()
        expected = VECTORS[key][at : at + len(kept)]
        at += len(kept)
        # float32: torch's vectorised log, sin and cos. float64: the C library's, which differ by the machine.
        bound = 0 if op == "rand" else 1e-6 if dtype == "float32" else 1e-14
        np.testing.assert_allclose(kept, expected, rtol=0, atol=bound)
    assert at == len(VECTORS[key])


def test_only_the_low_32_bits_of_a_seed_count() -> None:
    expected = TorchGenerator(1).randn((20,))
    for seed in (2**32 + 1, 2**63 + 1, -(2**32) + 1, np.int64(1), np.uint64(1)):
        np.testing.assert_array_equal(TorchGenerator(seed).randn((20,)), expected)


def test_a_cached_normal_outlives_a_large_draw() -> None:
    """torch keeps the second value of a scalar pair, and its block path does not touch it."""
    one, other = TorchGenerator(3), TorchGenerator(3)
    first = one.randn((1,))
    one.randn((64,))
    pair = other.randn((2,))
    assert first[0] == pair[0]
    assert one.randn((1,))[0] == pair[1]


def test_rand_takes_the_bits_that_randn_takes() -> None:
    uniform = TorchGenerator(0).rand((4,))
    # torch.rand(4, generator=torch.Generator().manual_seed(0))
    assert uniform.tolist() == [
        0.49625658988952637,
        0.7682217955589294,
        0.08847743272781372,
        0.13203048706054688,
    ]
    assert TorchGenerator(0).rand((2, 3), np.float64).shape == (2, 3)


def test_one_generator_per_image_gives_each_its_own_picture() -> None:
    shape = (3, 4, 8, 8)
    together = PerImage([TorchGenerator(seed) for seed in (5, 6, 7)])
    for draw in range(2):
        batch = together.randn(shape)
        assert batch.shape == shape
        assert batch.dtype == np.float32
        for index, seed in enumerate((5, 6, 7)):
            alone = TorchGenerator(seed)
            for _ in range(draw):
                alone.randn((1, 4, 8, 8))
            np.testing.assert_array_equal(batch[index : index + 1], alone.randn((1, 4, 8, 8)))
    one_stream = TorchGenerator(5).randn(shape)
    assert not np.array_equal(one_stream, PerImage([TorchGenerator(5 + i) for i in range(3)]).randn(shape))


def test_a_generator_leaves_numpys_own_state_alone() -> None:
    before = np.random.get_state()[1].copy()
    TorchGenerator(0).randn((100,))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "1", None, float("nan")])
def test_refuses_a_seed_that_torch_refuses(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        TorchGenerator(seed)  # type: ignore[arg-type]


def test_refuses_other_dtypes_sizes_and_batches() -> None:
    generator = TorchGenerator(0)
    with pytest.raises(InputError, match="float16"):
        generator.randn((4,), np.float16)
    with pytest.raises(InputError, match="float16"):
        generator.rand((4,), np.float16)
    for draw in (generator.randn, generator.rand):
        with pytest.raises(InputError, match="shape"):
            draw((2, -1))
    with pytest.raises(InputError, match="none"):
        PerImage([])
    with pytest.raises(InputError, match="1 generators for a batch of 2"):
        PerImage([generator]).randn((2, 3))


def test_latents_take_less_than_a_millisecond() -> None:
    generator = TorchGenerator(0)
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        generator.randn((1, 4, 64, 64))
        times.append(time.perf_counter() - begin)
    assert min(times) < 1e-3
