"""Make tests/runtime/golden/comfy.npz: what ComfyUI's own solvers make of the runs of tests/parity/k_toy.py.

    python tools/make_comfy_golden.py COMFYUI

COMFYUI is a checkout; of it only comfy/k_diffusion is read, whose other imports are stood in for. Needs torch. The file
at hand is of version 0.3.68, but for what sa_solver returns of a run that ends above 0, where later ones are right.
"""

import contextlib
import importlib
import inspect
import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from parity.k_toy import SHAPE, SIGMAS, SOLVERS, TABLE, Wide, begun, guided, unguided  # noqa: E402

# What a solver registers to be told of both predictions.
_told: dict[str, Any] = {}


def _stand_in(name: str, **members: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _remember(options: Any, function: Any, disable_cfg1_optimization: bool = False) -> Any:
    _told["function"] = function
    return options


def _solvers(folder: Path) -> Any:
    for name in ("comfy", "comfy.utils", "comfy.memory_management", "torchsde"):
        _stand_in(name, model_trange=lambda count, disable=None: range(count))
    _stand_in("comfy.model_patcher", set_model_options_post_cfg_function=_remember)
    _stand_in("comfy.model_sampling", CONST=type("CONST", (), {}))
    _stand_in("k_diffusion")
    sys.modules["k_diffusion"].__path__ = [str(folder / "comfy" / "k_diffusion")]
    return importlib.import_module("k_diffusion.sampling")


class _Model:
    """The toy, as ComfyUI's solvers see a model."""

    def __init__(self) -> None:
        sampling = SimpleNamespace(
            percent_to_sigma=lambda share: float(
                np.exp(np.interp((1 - share) * 999, np.arange(1000), np.log(TABLE)))
            ),
            noise_scaling=lambda sigma, noise, x: x + sigma * noise,
        )
        self.inner_model = SimpleNamespace(
            model_patcher=SimpleNamespace(get_model_object=lambda name: sampling),
            inner_model=SimpleNamespace(model_sampling=sampling),
        )

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_: Any) -> torch.Tensor:
        at = sigma.reshape(-1, 1, 1, 1)
        denoised = guided(x, at, torch.tanh)
        if _told:
            _told["function"]({"denoised": denoised, "uncond_denoised": unguided(x, at, torch.tanh)})
        return denoised


def _run(function: Any, sigmas: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    _told.clear()
    rng, x = Wide(1), torch.tensor(begun(sigmas))
    given: dict[str, Any] = {"extra_args": {}, "disable": True, **options}
    taken = inspect.signature(function).parameters
    if "noise_sampler" in taken:
        given["noise_sampler"] = lambda *_: torch.tensor(rng.randn(SHAPE))
    torch.randn_like = lambda x: torch.tensor(rng.randn(tuple(x.shape)))  # type: ignore[assignment]
    steps: tuple[Any, ...] = (torch.tensor(sigmas),)
    if "sigma_min" in taken:
        lowest = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
        steps = (float(lowest), float(sigmas[0]), *((len(sigmas) - 1,) if "n" in taken else ()))
    with contextlib.redirect_stdout(io.StringIO()):
        result: np.ndarray = function(_Model(), x, *steps, **given).numpy()
    return result


def main() -> None:
    torch.set_default_dtype(torch.float64)
    solvers = _solvers(Path(sys.argv[1]))
    arrays = {}
    for key, (name, choices) in SOLVERS.items():
        for label, sigmas in SIGMAS.items():
            if name.startswith("sa_solver") and label == "above 0":
                continue
            for number, options in enumerate(choices):
                arrays[f"{key}|{label}|{number}"] = _run(getattr(solvers, f"sample_{name}"), sigmas, options)
    np.savez_compressed(ROOT / "tests" / "runtime" / "golden" / "comfy.npz", **arrays)


if __name__ == "__main__":
    main()
