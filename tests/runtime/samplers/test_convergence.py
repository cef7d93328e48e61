"""The order of every solver, on a Gaussian whose denoiser and path are known: tests/parity/convergence.py."""

import pytest

from latentrt.schedule import CLASSES
from parity.convergence import SOLVERS, STOCHASTIC, Solver, Stochastic, moments, order

# Consistency models jump: their error does not fall with more steps.
JUMPS = {"LCMScheduler", "TCDScheduler"}


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: f"{solver.class_name}-{solver.label}")
def test_each_solver_shows_its_order(solver: Solver) -> None:
    measured = order(solver)
    assert measured > solver.order - 0.12
    # Third order is still coming down from above at these step counts.
    assert measured < solver.order + (0.12 if solver.order < 3 else 0.6)


@pytest.mark.parametrize("solver", STOCHASTIC, ids=lambda solver: f"{solver.class_name}-{solver.label}")
def test_each_stochastic_solver_draws_from_the_data(solver: Stochastic) -> None:
    """10,000 samples after 200 steps: 0.5 % is the sampling error of the mean, 0.7 % that of the deviation."""
    mean, deviation = moments(solver)
    assert mean == pytest.approx(0, abs=0.02)
    # The rest is the step's: first order, up to 4 % with churn.
    assert deviation == pytest.approx(1, abs=0.05)


def test_every_class_is_here() -> None:
    tried = {solver.class_name for solver in SOLVERS} | {solver.class_name for solver in STOCHASTIC}
    assert tried == set(CLASSES) - JUMPS
