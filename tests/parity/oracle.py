"""diffusers itself, run step by step with given noise, in float32 as it is or in float64 throughout."""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch

from latentrt.schedule import from_config
from latentrt.schedule.classes.common import alphas_cumprod_of
from latentrt.schedule.schedule import ZERO_SNR_SIGMA
from parity.case import Case, Noise
from parity.run import Run

diffusers.logging.set_verbosity_error()


class _Wide:
    """A module in which float32 is float64, but where that decides between one whole timestep and another."""

    def __init__(self, module: Any, wide: Any, narrow: Any) -> None:
        self._module, self._narrow, self.float32 = module, narrow, wide

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def floor(self, x: Any) -> Any:
        """Of 0.7 × 70, whose float32 is 49 and whose float64 is less."""
        return self._module.floor(x.float() if isinstance(x, torch.Tensor) else x)

    def linspace(self, *args: Any, **kwargs: Any) -> Any:
        """numpy's rounds timesteps, which are then looked up."""
        if kwargs.get("dtype") is self.float32 and self._module is np:
            kwargs["dtype"] = self._narrow
        return self._module.linspace(*args, **kwargs)


def scheduler_class(class_name: str) -> Any:
    """The class of this name."""
    if class_name != "DPMSolverSDEScheduler":
        return getattr(diffusers, class_name)
    # diffusers hides it where torchsde is missing, of which nothing is asked with a Brownian path that is given.
    missing = "torchsde" not in sys.modules and importlib.util.find_spec("torchsde") is None
    if missing:
        sys.modules["torchsde"] = types.ModuleType("torchsde")
    try:
        module = importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    finally:
        if missing:
            del sys.modules["torchsde"]
    return module.DPMSolverSDEScheduler


@contextlib.contextmanager
def patched(class_name: str, noise: Noise, dtype: type) -> Iterator[None]:
    """Give a scheduler's module our noise and, for float64, modules whose float32 is that."""
    module = sys.modules[scheduler_class(class_name).__module__]

    def randn_tensor(shape: Sequence[int], **kwargs: Any) -> torch.Tensor:
        return torch.from_numpy(noise.randn(shape).astype(dtype))

    with contextlib.ExitStack() as stack:
        if hasattr(module, "randn_tensor"):
            stack.enter_context(mock.patch.object(module, "randn_tensor", randn_tensor))
        if dtype is np.float64:
            stack.enter_context(
                mock.patch.object(module, "torch", _Wide(torch, torch.float64, torch.float32))
            )
            stack.enter_context(
                mock.patch.object(module, "np", _Wide(np, np.float64, np.float32), create=True)
            )
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float64)
        yield


def case_scheduler(case: Case) -> Any:
    """Make the scheduler, its tables in float32 as ever."""
    scheduler = scheduler_class(case.class_name)
    original, module = scheduler.set_timesteps, sys.modules[scheduler.__module__]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            mock.patch.object(module, "torch", torch),
            mock.patch.object(module, "np", np, create=True),
            # Some make a schedule of all training timesteps there, to no purpose, and take seconds for it.
            mock.patch.object(scheduler, "set_timesteps", lambda self, *args, **kwargs: original(self, 1)),
        ):
            return scheduler.from_config(dict(case.config))
    finally:
        torch.set_default_dtype(before)


def widen(scheduler: Any, case: Case) -> None:
    """Take the float32 tables for exact, as ours does, and compute with them in float64.

    torch rounds a float32 square root or exponential in one way, on some CPUs not correctly, and numpy in another.
    Where ᾱ comes of such (zero terminal SNR, `sigmoid`), the table itself is given: ours, but for the last ᾱ, which
    some classes set.
    """
    for key, value in vars(scheduler).items():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            setattr(scheduler, key, value.double())
    if case.config.get("rescale_betas_zero_snr") or case.config.get("beta_schedule") == "sigmoid":
        table = alphas_cumprod_of(from_config(case.class_name, case.config)).astype(np.float64)
        if case.config.get("rescale_betas_zero_snr"):
            table[-1] = scheduler.alphas_cumprod[-1]
        scheduler.alphas_cumprod = torch.from_numpy(table)
        if case.config.get("set_alpha_to_one") is False:
            scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]


class InvalidError(Exception):
    """diffusers itself refuses the combination."""


@torch.no_grad()
def reference(
    case: Case,
    dtype: type = np.float32,
    sigmas: np.ndarray | None = None,
    told: np.ndarray | None = None,
) -> Run:
    """Run diffusers' scheduler as its pipelines do.

    Args:
        case: what to run.
        dtype: float32, as it is, or float64.
        sigmas: in its terms, to step along in place of its own, if they are its own but for float32's rounding.
        told: timesteps that the network is told in place of its own.

    Raises:
        InvalidError: it refuses.
    """
    noise = Noise(case.seed)
    x = torch.from_numpy(noise.randn(case.shape).astype(dtype))
    with patched(case.class_name, noise, dtype):
        try:
            scheduler, begin = _prepared(case, dtype)
        except Exception as error:
            raise InvalidError(f"{type(error).__name__}: {error}") from error
        _exchange_sigmas(scheduler, sigmas)
        timesteps = scheduler.timesteps[begin:]
        if begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        if case.strength is None:
            x = x * getattr(scheduler, "init_noise_sigma", 1.0)
        else:
            noised = scheduler.add_noise if hasattr(scheduler, "add_noise") else scheduler.scale_noise
            drawn = torch.from_numpy(noise.randn(case.shape).astype(dtype))
            at = timesteps[:1].repeat(case.shape[0])
            x = noised(x, drawn, at) if hasattr(scheduler, "add_noise") else noised(x, at, drawn)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = lambda *sigmas: torch.from_numpy(noise.randn(case.shape).astype(dtype))
        accepted = inspect.signature(scheduler.step).parameters
        options = {key: value for key, value in case.run.items() if key in accepted}
        samples = []
        for index, timestep in enumerate(timesteps):
            fed = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
            output = torch.from_numpy(
                case.network(fed.numpy(), float(timestep if told is None else told[index]))
            )
            try:
                x = scheduler.step(output, timestep, x, **options).prev_sample
            except Exception as error:
                raise InvalidError(f"{type(error).__name__}: {error}") from error
            if x.dtype != (torch.float64 if dtype is np.float64 else torch.float32):
                raise AssertionError(f"{case.class_name} computed in {x.dtype}")
            samples.append(x.numpy())
    return Run(timesteps.numpy().astype(np.float64), samples)


def _exchange_sigmas(scheduler: Any, sigmas: np.ndarray | None) -> None:
    """Step along these sigmas, if its own are the same but for float32's rounding, which powers enlarge."""
    if sigmas is None:
        return
    if isinstance(scheduler, scheduler_class("IPNDMScheduler")):  # it holds sine and cosine
        infinite = sigmas == ZERO_SNR_SIGMA
        scheduler.betas = torch.from_numpy(np.where(infinite, 1.0, sigmas / np.sqrt(1 + sigmas**2)))
        scheduler.alphas = torch.from_numpy(np.where(infinite, 0.0, 1 / np.sqrt(1 + sigmas**2)))
        return
    own = getattr(scheduler, "sigmas", None)
    for like in (sigmas, 1 - sigmas):  # flow matching with invert_sigmas
        if (
            own is not None
            and own.shape == like.shape
            and np.allclose(own.numpy(), like, rtol=2e-5, atol=1e-12)
        ):
            scheduler.sigmas = torch.from_numpy(like)
            return


def _prepared(case: Case, dtype: type) -> tuple[Any, int]:
    """Make the scheduler with its timesteps, and say at which of them to begin."""
    scheduler = case_scheduler(case)
    if dtype is np.float64:
        widen(scheduler, case)
    given: dict[str, Any] = {}
    if case.timesteps is not None:
        given["timesteps"] = list(case.timesteps)
    if case.sigmas is not None:
        array = np.array(case.sigmas)
        given["sigmas"] = torch.from_numpy(array) if case.class_name == "EDMEulerScheduler" else array
    if "mu" in case.run:
        given["mu"] = case.run["mu"]
    if not (case.timesteps or case.sigmas):
        given["num_inference_steps"] = case.count
    scheduler.set_timesteps(**given)
    if case.strength is None:
        return scheduler, 0
    kept = min(int(case.count * case.strength), case.count)
    if kept == 0:
        raise ValueError("no step left")
    return scheduler, (case.count - kept) * scheduler.order
