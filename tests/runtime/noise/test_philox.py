"""CUDA's noise against what public sources state: the cipher, AUTOMATIC1111's "NV", and what GPUs printed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import InputError
from latentrt.noise import PhiloxGenerator
from latentrt.noise.philox import philox4x32


# Random123 (D. E. Shaw Research), tests/kat_vectors, "philox4x32 10": counter (4 words), key (2), result (4).
@pytest.mark.parametrize(
    "line",
    [
        "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
)
def test_the_cipher_gives_the_known_answers_of_random123(line: str) -> None:
    c0, c1, c2, c3, k0, k1, *expected = (int(word, 16) for word in line.split())
    words = philox4x32(c1 << 32 | c0, np.array([c3 << 32 | c2], np.uint64), (k0, k1))
    assert [int(word[0]) for word in words] == expected


# What AUTOMATIC1111's modules/rng_philox.py gives under numpy 2.2, as qskousen/TensorPencil records it in
# src/core/assets/philox_fixtures.json: by seed, the first four values of the first and of the second call.
NV = {
    0: [
        [-0.9246624112129211, -0.42534396052360535, -2.643845796585083, 0.14518387615680695],
        [0.18082588911056519, -0.5522627234458923, 0.9238134026527405, -0.7349703311920166],
    ],
    42: [
        [0.1940188705921173, 2.1613738536834717, -0.17205095291137695, 0.8490599989891052],
        [0.13913749158382416, -0.10821615904569626, -0.7174221873283386, 0.7566486597061157],
    ],
    2**32 - 1: [
        [-0.03415844216942787, 0.3904449939727783, 1.5272352695465088, 0.1869903802871704],
        [-0.8753400444984436, 0.4505029618740082, -0.11009462922811508, -0.2534298896789551],
    ],
    2**32: [
        [-0.01742493361234665, 0.4864571690559387, 0.7840468883514404, -0.1919434815645218],
        [0.43530023097991943, -0.11817242205142975, 0.19420288503170013, 0.38628408312797546],
    ],
    1234567890123456789: [
        [-0.22432929277420044, 0.5532851815223694, 1.0874497890472412, 0.5042516589164734],
        [-0.2529478967189789, 1.854551076889038, -1.0653313398361206, 0.6165478825569153],
    ],
}


@pytest.mark.parametrize("seed", NV)
def test_automatic1111s_nv(seed: int) -> None:
    generator = PhiloxGenerator(seed)
    for row in NV[seed]:
        values = generator.randn((16,))
        assert values.dtype == np.float32
        # Rounded to float32 from float64, whose log and sine the C library may round in either way.
        np.testing.assert_allclose(values[:4], row, rtol=1.2e-7)


def test_the_docstring_of_automatic1111s_nv() -> None:
    """Generator(seed=0).randn((3, 4)) as rng_philox.py prints it, with an exact 2π where its code has a float32 one."""
    expected = """
        -0.92466259 -0.42534415 -2.6438457   0.14518388
        -0.12086647 -0.57972564 -0.62285122 -0.32838709
        -1.07454231 -0.36314407 -1.67105067  2.26550497"""
    values = PhiloxGenerator(0).randn((3, 4))
    np.testing.assert_allclose(values.ravel(), [float(x) for x in expected.split()], rtol=0, atol=3e-7)


def corners(values: np.ndarray) -> np.ndarray:
    """What torch prints of a large matrix: three rows and columns of each end."""
    ends = [0, 1, 2, -3, -2, -1]
    return values[..., ends, :][..., ends] if values.ndim > 1 else values[..., ends]


# torch prints four decimals.
PRINTED = {"rtol": 0, "atol": 5.1e-5}


def test_successive_calls_on_a_gpu() -> None:
    """Six tensors of four values, one after another from seed 42, as a report on torch._foreach_sub prints them."""
    expected = [
        [0.1940, 2.1614, -0.1721, 0.8491],
        [0.1391, -0.1082, -0.7174, 0.7566],
        [-0.5187, 1.2268, 0.6255, -0.9117],
        [-0.6974, -1.8688, -0.8832, -1.6627],
        [-1.2682, -0.0383, -0.1029, 1.4400],
        [1.4640, -0.3238, 0.7740, 1.5892],
    ]
    generator = PhiloxGenerator(42)
    for row in expected:
        np.testing.assert_allclose(generator.randn((4,)), row, **PRINTED)
    # pytorch/pytorch#79496: manual_seed(10), torch.randn(3, device="cuda").
    np.testing.assert_allclose(PhiloxGenerator(10).randn((3,)), [-0.1029, 1.6810, -0.2708], **PRINTED)


RTX_3060, RTX_A4000, RTX_A6000, M4000 = 28 * 1536, 48 * 1536, 84 * 1536, 13 * 2048
A100, H100 = 108 * 2048, 132 * 2048


def test_more_values_than_threads_on_a_gpu_of_43008_threads() -> None:
    """pytorch/pytorch#158398: torch.randn([1, 64, 2048]) with seed 42, where the second half belongs to other lanes."""
    expected = [
        [0.1940, 2.1614, -0.1721, 1.4540, -2.7733, -0.8932],
        [-0.4574, 0.8063, 0.1580, 0.1124, 0.2769, -1.2535],
        [1.1346, -0.6329, -0.9147, -1.0001, -1.1552, -0.6955],
        [-0.4861, 0.3358, 1.0578, -0.7282, 0.5087, 0.1318],
        [0.7881, 0.8339, -1.1424, -0.6297, -1.1112, -0.4091],
        [-1.2356, -0.4083, -0.4695, -0.4841, 1.2850, -0.0282],
    ]
    np.testing.assert_allclose(
        corners(PhiloxGenerator(42, RTX_3060).randn((1, 64, 2048)))[0], expected, **PRINTED
    )


def test_an_rtx_a4000() -> None:
    """pytorch/pytorch#97097: torch.cuda.FloatTensor(1000, 100).normal_(5, 5**.5) after manual_seed(14)."""
    expected = [
        [2.8731, 5.2727, 2.9889, 1.6853, 9.6331, 6.6319],
        [3.9968, 3.8097, 5.7328, 4.4029, 3.9804, 7.4698],
        [6.5552, 4.0857, 4.2315, 2.7704, 3.5479, 3.3063],
        [8.6297, 2.3137, 6.2596, 7.9358, 4.4697, 2.7475],
        [7.0551, 7.8583, 3.9990, 4.1139, 8.9315, 4.2042],
        [2.7337, 2.2106, 7.7815, 8.2207, 6.5395, 4.2604],
    ]
    values = PhiloxGenerator(14, RTX_A4000).randn((1000, 100)) * 5**0.5 + 5
    np.testing.assert_allclose(corners(values), expected, **PRINTED)


def test_an_rtx_a6000() -> None:
    """pytorch/pytorch#62467: (1, 3, 128, 128) of seed 43; 49,152 values, each with a thread of its own."""
    expected = [1.9983, 0.8704, 2.1127]
    for threads in (RTX_A6000, None):
        values = PhiloxGenerator(43, threads).randn((1, 3, 128, 128))
        np.testing.assert_allclose(values[0, :, 0, 0], expected, **PRINTED)
    # The report's other GPU, a Quadro M4000, holds fewer threads, and differed.
    other = PhiloxGenerator(43, M4000).randn((1, 3, 128, 128))
    assert np.array_equal(other.ravel()[:M4000], values.ravel()[:M4000])
    assert other[0, 2, 0, 0] != values[0, 2, 0, 0]


@pytest.mark.parametrize(
    ("threads", "last"), [(A100, [0.1549, -0.6797, -0.1656]), (H100, [-0.6970, -0.7780, 0.3267])]
)
def test_many_values_for_each_thread_of_an_a100_and_an_h100(threads: int, last: list[float]) -> None:
    """pytorch/pytorch#143086: torch.randn(1, 49·12·112·144) with seed 1: 9,483,264 values."""
    values = PhiloxGenerator(1, threads).randn((1, 49 * 12 * 112 * 144))
    np.testing.assert_allclose(values[0, :3], [-0.2963, 2.6764, -0.1408], **PRINTED)
    np.testing.assert_allclose(values[0, -3:], last, **PRINTED)


@given(st.integers(1, 5000), st.integers(1, 6), st.integers(-(2**63), 2**64 - 1))
def test_each_value_is_where_curand_puts_it(count: int, blocks: int, seed: int) -> None:
    """Value by value after ATen's kernel: thread, turn and lane of each, and the counter the next call begins at."""
    threads = min(256 * blocks, -(-count // 256) * 256)
    generator = PhiloxGenerator(seed, 256 * blocks)
    key = seed % 2**64 & 0xFFFFFFFF, seed % 2**64 >> 32
    counter = 0
    for _ in range(2):
        values = generator.randn((count,))
        for index in {0, count // 3, count // 2, count - 1}:
            turn, lane = index // (4 * threads), index // threads % 4
            words = philox4x32(counter + turn, np.array([index % threads], np.uint64), key)
            x, y = (float(word[0]) for word in words[lane // 2 * 2 : lane // 2 * 2 + 2])
            radius = np.sqrt(-2 * np.log((x + 0.5) / 2**32))
            angle = 2 * np.pi * (y + 0.5) / 2**32
            assert values[index] == pytest.approx(radius * (np.cos if lane % 2 else np.sin)(angle), abs=1e-6)
        counter += (count - 1) // (4 * threads) + 1


def test_noise_is_normal_and_seeds_differ_in_all_their_bits() -> None:
    values = PhiloxGenerator(7).randn((1_000_000,)).astype(np.float64)
    assert abs(values.mean()) < 4e-3
    assert abs(values.std() - 1) < 3e-3
    assert abs((values**4).mean() - 3) < 4e-2
    draws = {PhiloxGenerator(seed).randn((1,)).item() for seed in (1, 1 + 2**32, 1 + 2**63, -1)}
    assert len(draws) == 4
    np.testing.assert_array_equal(PhiloxGenerator(-1).randn((9,)), PhiloxGenerator(2**64 - 1).randn((9,)))


def test_refuses_what_no_gpu_has() -> None:
    for threads in (0, -256, 100):
        with pytest.raises(InputError, match="multiple of 256"):
            PhiloxGenerator(0, threads)
    with pytest.raises(InputError, match="seed"):
        PhiloxGenerator(2**64)
    with pytest.raises(InputError, match="shape"):
        PhiloxGenerator(0).randn((2, -1))
    generator = PhiloxGenerator(0)
    assert generator.randn((0, 4)).shape == (0, 4)
    np.testing.assert_array_equal(generator.randn((5,)), PhiloxGenerator(0).randn((5,)))
