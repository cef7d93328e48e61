"""What the training stages share: device and dtype, a budget in steps or minutes, checkpoints, progress."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from latentrt.files import atomic_write

from .optim import Average


def pick_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[Any]:
    """bf16 where the hardware computes in it (a GPU, AMX, AVX512-bf16), fp32 elsewhere; `dtype` may force it.

    A CPU without those instructions emulates bf16, tens of times slower than fp32.
    """
    if dtype == "auto":
        fast = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
        dtype = "bf16" if fast else "fp32"
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bf16" else nullcontext()


@dataclass
class Budget:
    """How long a stage trains: so many steps where they are given, so many minutes otherwise.

    Minutes suit a shared machine: the rate falls with the share of the time that is gone. Steps repeat exactly.
    """

    steps: int | None = None
    minutes: float | None = None
    done: int = 0
    elapsed: float = 0.0
    _last: float = field(default_factory=time.monotonic, repr=False)

    def fraction(self) -> float:
        """Share of the budget that is spent, 0…1."""
        if self.steps is not None:
            return min(self.done / self.steps, 1.0) if self.steps else 1.0
        if self.minutes is None:
            raise ValueError("budget: expected steps or minutes, got neither")
        return min(self.elapsed / (60 * self.minutes), 1.0) if self.minutes else 1.0

    def start(self) -> None:
        """Begin (or continue) to count time."""
        self._last = time.monotonic()

    def tick(self, *, count_time: bool = True) -> None:
        """Count one step, and the time since the last."""
        now = time.monotonic()
        self.elapsed += now - self._last if count_time else 0.0
        self.done, self._last = self.done + 1, now


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None where there is none yet."""
    return torch.load(path, map_location="cpu", weights_only=False) if path.exists() else None


@dataclass(frozen=True)
class Checkpoint:
    """What a stage needs to go on as if it had never stopped, in one file."""

    path: Path
    model: nn.Module
    optimisers: list[torch.optim.Optimizer]
    budget: Budget
    rng: np.random.Generator
    average: Average | None = None

    def resume(self) -> dict[str, Any] | None:
        """Take everything back to where the file left it; returns what it holds, None where there is none yet."""
        state = load(self.path)
        if state is None:
            return None
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.weights, self.average.steps = state["average"], state["average_steps"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.budget.done, self.budget.elapsed = state["done"], state["elapsed"]
        self.rng.bit_generator.state = state["rng"]
        return state

    def save(self, **rest: Any) -> None:
        """Write the file, with whatever `rest` the stage wants back."""
        state = {
            "model": self.model.state_dict(), "optimisers": [o.state_dict() for o in self.optimisers],
            "done": self.budget.done, "elapsed": self.budget.elapsed, "rng": self.rng.bit_generator.state,
        }  # fmt: skip
        if self.average is not None:
            state |= {"average": self.average.weights, "average_steps": self.average.steps}
        save(self.path, state | rest)


def progress(name: str, budget: Budget, samples: int, **figures: float) -> None:
    """One line: how far, how fast, the losses."""
    rate = samples / max(budget.elapsed, 1e-9)
    text = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
    line = f"{name}  {100 * budget.fraction():5.1f} %  step {budget.done}  {samples} samples  {rate:.1f}/s  {text}"
    print(line, file=sys.stderr, flush=True)


def compile_blocks(model: nn.Module) -> None:
    """Compile every residual block and every transformer block by itself.

    Compiled whole, with two threads, torch 2.13 gave this project's autoencoder zero gradients
    before the decoder's last blocks, in silence; block by block they agree with eager mode to 3e-4.
    """
    torch._dynamo.config.recompile_limit = 256
    for block in model.modules():
        if isinstance(block, (ResnetBlock2D, BasicTransformerBlock)):
            block.compile(dynamic=False)
