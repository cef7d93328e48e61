"""The command that the refusal of a pickled checkpoint names does what it says."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

from latentrt.errors import WeightsError
from latentrt.models.weights import read_safetensors


@pytest.mark.parametrize("old", [False, True])
def test_the_command_that_is_named_converts_it(tmp_path, old):
    one = torch.arange(6, dtype=torch.float16).reshape(2, 3)
    state = {"a": one, "b.same": one, "c.view": one.T, "epoch": 5}
    path = tmp_path / "a model's.ckpt"
    torch.save(
        {"state_dict": state, "global_step": 7} if old else state,
        path,
        _use_new_zipfile_serialization=not old,
    )
    with pytest.raises(WeightsError, match="holds pickled weights") as caught:
        read_safetensors(path)
    command = shlex.split(re.search(r"python -c .*", str(caught.value))[0])
    subprocess.run([sys.executable, *command[1:]], check=True)
    read = read_safetensors(path.with_suffix(".safetensors"))
    assert read.keys() == {"a", "b.same", "c.view"}
    for name, value in read.items():
        np.testing.assert_array_equal(value, state[name].numpy())
