"""All values of the types that numpy has none of, against torch's."""

import numpy as np
import pytest
import torch

from latentrt.models.floats import WIDENED

BYTES = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize(("name", "kind"), [("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)])
def test_float8(name, kind):
    wanted = torch.tensor(BYTES).view(kind).float().numpy()
    ours = WIDENED[name](BYTES)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(wanted))  # of zero, too


def test_bfloat16():
    bits = np.arange(65536, dtype=np.uint16)
    wanted = torch.tensor(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(WIDENED["BF16"](bits), wanted)
