"""Churn: noise added before a step, and the step begun from above; arXiv:2206.00364 algorithm 2."""

import math
from dataclasses import dataclass

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Latents, draw
from latentrt.schedule import Schedule

_MOST = math.sqrt(2) - 1


@dataclass(frozen=True)
class Churn:
    """How much, and where; as k-diffusion has it, where the network is asked at the raised σ.

    Attributes:
        s_churn: noise over all steps of the run; 0 adds none.
        s_tmin: the lowest σ at which it is added.
        s_tmax: the highest.
        s_noise: its deviation.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def raised(
        self, x: Latents, sigma: float, schedule: Schedule, rng: NoiseSource | None
    ) -> tuple[Latents, float]:
        """The state that a step begins with, and its σ.

        Args:
            x: (b, c, h, w) at `sigma`.
            sigma: where the step would begin.
            schedule: of the run.
            rng: drawn from in every step where there is churn at all, also where σ lies outside, as there.
        """
        if self.s_churn == 0:
            return x, sigma
        noise = draw(rng, x)
        if not self.s_tmin <= sigma <= self.s_tmax:
            return x, sigma
        steps = -(-len(schedule) // schedule.order)
        up = sigma * (1 + min(self.s_churn / steps, _MOST))
        return x + (self.s_noise * math.sqrt(up**2 - sigma**2)) * noise, up
