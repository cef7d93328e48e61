"""Samplers: pure solvers, one a file, and the names by which three communities call them.

>>> sampler = resolve("DPM++ 2M Karras", scheduler_config)
>>> schedule = sampler.schedule(25)
>>> for step in sampler.run(denoise, schedule.initial(noise), schedule, rng):
...     x = step.x
>>> latents = schedule.final(x)

With a network of one's own, all in one:

>>> sample = run(scheduler_config, network, noise, 25)
"""

from latentrt.samplers.automatic import AUTOMATIC
from latentrt.samplers.names import key_of, names, resolve, table
from latentrt.samplers.network import iterate, run
from latentrt.samplers.registry import REGISTRY, SCHEDULE_LABELS, Spec
from latentrt.samplers.sampler import CLASS_ENTRY, SCHEDULE_ENTRY, Sampler
from latentrt.samplers.step import Denoise, Solver, Step

__all__ = [
    "AUTOMATIC",
    "CLASS_ENTRY",
    "REGISTRY",
    "SCHEDULE_ENTRY",
    "SCHEDULE_LABELS",
    "Denoise",
    "Sampler",
    "Solver",
    "Spec",
    "Step",
    "iterate",
    "key_of",
    "names",
    "resolve",
    "run",
    "table",
]
