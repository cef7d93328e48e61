"""Optimisers and averages of the demo's training: Muon for matrices and kernels, AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix, roughly: Newton-Schulz of Muon (Jordan et al. 2024).

    Every iterate is a polynomial in the Gram matrix times the input, so that the polynomial alone is iterated:
    for a kernel that is many times longer than wide this takes a third of the arithmetic.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    gram = x @ x.T
    identity = torch.eye(len(x), device=x.device)
    product = identity
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; a convolution counts as an (out, in*k*k) matrix."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                average = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(average, group["momentum"]).flatten(1)  # Nesterov
                rows, columns = update.shape
                update = orthogonalise(update.float()) * math.sqrt(max(1.0, rows / columns))
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update.view_as(p).to(p.dtype), alpha=-group["lr"])


def make_optimisers(
    model: nn.Module, *, muon_lr: float, adam_lr: float, adam_names: tuple[str, ...] = ()
) -> list[torch.optim.Optimizer]:
    """Muon for weights of two or more dimensions, AdamW for vectors and for names that start as given."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (others if p.ndim < 2 or name.startswith(adam_names or ("\0",)) else matrices).append(p)
    optimisers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=muon_lr),
        torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak_lr"] = group["lr"]
    return optimisers


def set_rate(optimisers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's rate to `factor` of its peak."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak_lr"] * factor


def take_step(optimisers: list[torch.optim.Optimizer]) -> None:
    """Step with every optimiser, and forget the gradients."""
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def rate_at(fraction: float, step: int, *, warmup: int = 40, hold: float = 0.4) -> float:
    """Share of the peak rate at a step, `fraction` into the run: warm up, hold, fall to 0 as a cosine."""
    rate = min((step + 1) / warmup, 1.0)
    if fraction > hold:
        rate *= 0.5 * (1 + math.cos(math.pi * min((fraction - hold) / (1 - hold), 1.0)))
    return rate


def check_gradients(model: nn.Module) -> None:
    """Raise where a parameter got no gradient: a compiled graph that lost a branch trains on in silence."""
    lost = [
        name for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not torch.isfinite(p.grad).all() or not p.grad.any())
    ]  # fmt: skip
    if lost:
        raise RuntimeError(f"training: expected a gradient for every parameter, got none for {lost[:5]}")


class Average:
    """Exponential moving average of a model's weights, quicker in the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        state = model.state_dict()
        floats = [name for name in self.weights if self.weights[name].is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in floats], [state[n] for n in floats], 1 - decay)
