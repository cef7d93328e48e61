"""From a scheduler config to the noise levels and timesteps of a run."""

from latentrt.schedule.build import BUILDERS, make_schedule
from latentrt.schedule.config import DEFAULTS, from_config
from latentrt.schedule.schedule import ZERO_SNR_SIGMA, Schedule, reinterpret

__all__ = [
    "BUILDERS",
    "DEFAULTS",
    "ZERO_SNR_SIGMA",
    "Schedule",
    "from_config",
    "make_schedule",
    "reinterpret",
]
