"""From a scheduler config to the noise levels and timesteps of a run."""

from latentrt.schedule.classes import CLASSES
from latentrt.schedule.config import from_config, make_schedule
from latentrt.schedule.schedule import ZERO_SNR_SIGMA, Evaluation, Schedule, reinterpret

__all__ = [
    "CLASSES",
    "ZERO_SNR_SIGMA",
    "Evaluation",
    "Schedule",
    "from_config",
    "make_schedule",
    "reinterpret",
]
