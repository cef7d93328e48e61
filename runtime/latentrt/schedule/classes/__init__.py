"""Every diffusers scheduler class that is built, by name; one a file."""

from latentrt.schedule.classes.common import SchedulerClass
from latentrt.schedule.classes.ddim import DDIM
from latentrt.schedule.classes.dpmsolver_multistep import DPMSOLVER_MULTISTEP
from latentrt.schedule.classes.euler import EULER
from latentrt.schedule.classes.euler_ancestral import EULER_ANCESTRAL
from latentrt.schedule.classes.pndm import PNDM

CLASSES: dict[str, SchedulerClass] = {
    "DDIMScheduler": DDIM,
    "PNDMScheduler": PNDM,
    "EulerDiscreteScheduler": EULER,
    "EulerAncestralDiscreteScheduler": EULER_ANCESTRAL,
    "DPMSolverMultistepScheduler": DPMSOLVER_MULTISTEP,
}
