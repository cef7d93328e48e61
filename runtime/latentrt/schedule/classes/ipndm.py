"""IPNDMScheduler.

Of `trained_betas` diffusers takes as many as there are, whatever number of steps is asked for; here the two must agree.
"""

import math

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.betas import linspace
from latentrt.schedule.classes.common import Options, SchedulerClass, Steps, chained
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.schedule import ZERO_SNR_SIGMA, Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    """Follow σ_vp = sin²(πt/2) from t = 1, where nothing but noise is, to 0; the network is told atan2(σ_vp, α)·2/π."""
    trained = options["trained_betas"]
    if trained is None:
        t = linspace(1, 0, steps.count + 1).astype(np.float64)
        t[-1] = 0.0
        angle = (t.astype(np.float32) * np.float32(math.pi) / np.float32(2)).astype(np.float64)
        betas = np.sin(angle).astype(np.float32) ** 2
    else:
        betas = np.asarray(trained, dtype=np.float32)
        if len(betas) != steps.count + 1:
            raise InputError(
                f"num_inference_steps: expected {len(betas) - 1}, one less than the scheduler config's trained_betas, "
                f"got {steps.count}"
            )
    alphas = np.sqrt(1 - betas**2)
    timesteps = (
        np.arctan2(betas.astype(np.float64), alphas.astype(np.float64)).astype(np.float32)
        / np.float32(math.pi)
        * np.float32(2)
    )
    infinite = alphas == 0
    safe = np.where(infinite, 1.0, alphas.astype(np.float64))
    sigmas = np.where(infinite, ZERO_SNR_SIGMA, betas / safe)
    return chained(sigmas, timesteps[:-1].astype(np.float64))


def _predicts(options: Options) -> Prediction:
    return Prediction("v_prediction")


IPNDM = SchedulerClass(
    defaults={"num_train_timesteps": 1000, "trained_betas": None}, build=_build, predicts=_predicts
)
