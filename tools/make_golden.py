"""Make the golden files of `tests/runtime/golden` from torch, torchsde and diffusers.

    python tools/make_golden.py [FOLDER]

The runtime's tests compare with them where there is no torch.
"""

import itertools
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torchsde._brownian.brownian_interval as torchsde_interval
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from latentrt.noise import PhiloxGenerator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from parity.compare import Comparison
from parity.golden import COUNTS, GOLDEN, SD, SHAPE, cases, reference
from parity.grid import cases as grid_cases
from parity.options import SPACES
from parity.oracle import InvalidError
from parity.verdict import EQUAL, judge


def make_samplers(folder: Path) -> None:
    index, arrays, at = (
        [],
        {"timesteps": [], "sigmas": [], "samples": []},
        dict.fromkeys(("timesteps", "sigmas", "samples"), 0),
    )
    for case in cases():
        result = reference(**case)
        spans = {}
        for key, values in result.items():
            spans[key] = [at[key], at[key] + len(values)]
            at[key] += len(values)
            arrays[key].append(values.astype(np.float64) if key == "timesteps" else values)
        changed = {key: value for key, value in case["config"].items() if SD.get(key, ...) != value}
        if "trained_betas" in changed:
            changed["trained_betas"] = "numpy.linspace(1e-4, 2e-2, 1000)"
        index.append({**case, "config": changed, **spans})
    np.savez_compressed(
        folder / "samplers.npz", **{key: np.concatenate(values) for key, values in arrays.items()}
    )
    lines = ",\n".join(json.dumps(row) for row in index)
    text = f'{{"base": {json.dumps(SD)},\n"shape": {list(SHAPE)},\n"cases": [\n{lines}\n]}}\n'
    (folder / "samplers.json").write_text(text)


def make_grid(folder: Path) -> None:
    """Of each class, three combinations of the parity grid for each number of steps: of every sample four values.

    Only those that are equal: what is explained by rounding has nothing to say to another machine.
    """
    labels, timesteps, samples = [], [], []
    for class_name in SPACES:
        kept: Counter[int] = Counter()
        for case in grid_cases(class_name):
            if sum(kept.values()) == 3 * len(COUNTS):
                break
            if kept[case.count] == 3:
                continue
            comparison = Comparison(case)
            try:
                result = comparison.diffusers
            except InvalidError:
                continue
            if judge(comparison, wide=False) != EQUAL or not np.abs(result.samples[-1]).max():
                continue
            kept[case.count] += 1
            labels.append(case.label())
            timesteps.append(result.timesteps)
            samples += [np.append(x[0, 0, 0], np.abs(x).max()) for x in result.samples]
    np.savez_compressed(
        folder / "grid.npz",
        labels=np.array("\n".join(labels)),
        lengths=[len(values) for values in timesteps],
        timesteps=np.concatenate(timesteps),
        samples=np.stack(samples),
    )


def make_noise(folder: Path) -> None:
    """Successive calls from one generator, over all paths and both dtypes; of large draws every 257th value."""
    seeds = (0, 1, 42, 2**31, 2**32 + 1, 2**63 + 12345, 2**64 - 1, -1, -(2**63))
    calls = [
        ("randn", (1,)),
        ("randn", (5,)),
        ("rand", (3,)),
        ("randn", (16,)),
        ("randn", (3,)),
        ("randn", (2, 3, 7)),
        ("rand", (2, 17)),
        ("randn", (15,)),
        ("randn", (17,)),
        ("randn", (0,)),
        ("randn", (4, 4, 4)),
        ("randn", (1,)),
        ("rand", ()),
        ("randn", (1, 4, 64, 64)),
        ("randn", (2, 2)),
        ("randn", (31,)),
        ("randn", ()),
    ]
    arrays = {}
    for dtype in (torch.float32, torch.float64):
        for seed in seeds:
            generator = torch.Generator("cpu").manual_seed(seed)
            drawn = [
                getattr(torch, op)(shape, generator=generator, dtype=dtype).numpy().ravel()
                for op, shape in calls
            ]
            kept = [values[::257] if len(values) > 1000 else values for values in drawn]
            arrays[f"{str(dtype).removeprefix('torch.')}:{seed}"] = np.concatenate(kept)
    np.savez_compressed(folder / "noise.npz", calls=np.array(json.dumps(calls)), **arrays)


def make_brownian(folder: Path) -> None:
    """torchsde's tree, asked as k-diffusion does, with torch's draws at its nodes or those of the CUDA generator."""
    runs = [14.614643, 9.2, 5.0, 1.7, 0.6, 0.2, 0.0291675]
    questions = [*itertools.pairwise(runs), (14.614643, 3.3), (0.6, 5.0), (1.7, 1.69)]
    cases = [
        {"seed": seed, "shape": shape, "range": span, "generator": generator, "questions": questions}
        for seed, shape, span, generator in (
            (0, (1, 4, 3, 5), (0.0291675, 14.614643), "cpu"),
            (2**63 + 7, (2, 4, 2, 3), (0.0291675, 14.614643), "cpu"),
            ([1234, 1235], (2, 4, 2, 3), (0.0291675, 14.614643), "nv"),
            ([3, 3, 4], (3, 1, 2, 2), (0.0291678, 9.19999), "cpu"),
            (42, (1, 4, 3, 5), (0.0020000001, 4518.7639), "nv"),
        )
    ]

    def philox(size: tuple[int, ...], dtype: torch.dtype, device: torch.device, seed: int) -> torch.Tensor:
        return torch.from_numpy(PhiloxGenerator(int(seed)).randn(size))

    arrays = {}
    for index, case in enumerate(cases):
        randn = philox if case["generator"] == "nv" else torchsde_interval._randn
        with mock.patch.object(torchsde_interval, "_randn", randn), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of questions beyond the range, which count as its ends
            tree = BrownianTreeNoiseSampler(torch.zeros(case["shape"]), *case["range"], case["seed"])
            arrays[str(index)] = np.stack([tree(*question).numpy() for question in questions])
    np.savez_compressed(folder / "brownian.npz", cases=np.array(json.dumps(cases)), **arrays)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    folder.mkdir(parents=True, exist_ok=True)
    make_noise(folder)
    make_brownian(folder)
    make_samplers(folder)
    make_grid(folder)
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
