"""What an SDE sampler may follow in place of drawing noise step by step."""

from typing import Protocol

from latentrt.noise.source import FloatArray


class BrownianMotion(Protocol):
    """W(σ): noise that belongs to the noise level, not to the step, so that more steps lead along the same path."""

    def __call__(self, sigma: float, sigma_next: float, /) -> FloatArray:
        """The increment from σ to σ' over the root of |σ − σ'|: unit noise, (b, c, h, w), 0 where σ = σ'."""
        ...

    def along_log(self, sigma: float, sigma_next: float, part: float = 1.0, /) -> FloatArray:
        """The same for a solver that steps in log σ, whose points have another rounding.

        Args:
            sigma: where the step begins.
            sigma_next: where it ends.
            part: how far along the step in log σ the increment goes, > 0: 1 is all of it.
        """
        ...
