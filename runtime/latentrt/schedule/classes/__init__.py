"""Every diffusers scheduler class that is built, by name; one a file."""

from latentrt.schedule.classes.common import SchedulerClass
from latentrt.schedule.classes.ddim import DDIM
from latentrt.schedule.classes.ddpm import DDPM
from latentrt.schedule.classes.deis_multistep import DEIS_MULTISTEP
from latentrt.schedule.classes.dpmsolver_multistep import DPMSOLVER_MULTISTEP
from latentrt.schedule.classes.dpmsolver_sde import DPMSOLVER_SDE
from latentrt.schedule.classes.dpmsolver_singlestep import DPMSOLVER_SINGLESTEP
from latentrt.schedule.classes.edm_dpmsolver_multistep import EDM_DPMSOLVER_MULTISTEP
from latentrt.schedule.classes.edm_euler import EDM_EULER
from latentrt.schedule.classes.euler import EULER
from latentrt.schedule.classes.euler_ancestral import EULER_ANCESTRAL
from latentrt.schedule.classes.flow_match_euler import FLOW_MATCH_EULER
from latentrt.schedule.classes.heun import HEUN
from latentrt.schedule.classes.ipndm import IPNDM
from latentrt.schedule.classes.k_dpm_2 import K_DPM_2, K_DPM_2_ANCESTRAL
from latentrt.schedule.classes.lcm import LCM
from latentrt.schedule.classes.lms import LMS
from latentrt.schedule.classes.pndm import PNDM
from latentrt.schedule.classes.sasolver import SASOLVER
from latentrt.schedule.classes.tcd import TCD
from latentrt.schedule.classes.unipc_multistep import UNIPC_MULTISTEP

CLASSES: dict[str, SchedulerClass] = {
    "DDIMScheduler": DDIM,
    "DDPMScheduler": DDPM,
    "PNDMScheduler": PNDM,
    "LMSDiscreteScheduler": LMS,
    "EulerDiscreteScheduler": EULER,
    "EulerAncestralDiscreteScheduler": EULER_ANCESTRAL,
    "HeunDiscreteScheduler": HEUN,
    "KDPM2DiscreteScheduler": K_DPM_2,
    "KDPM2AncestralDiscreteScheduler": K_DPM_2_ANCESTRAL,
    "DPMSolverMultistepScheduler": DPMSOLVER_MULTISTEP,
    "DEISMultistepScheduler": DEIS_MULTISTEP,
    "DPMSolverSDEScheduler": DPMSOLVER_SDE,
    "DPMSolverSinglestepScheduler": DPMSOLVER_SINGLESTEP,
    "EDMDPMSolverMultistepScheduler": EDM_DPMSOLVER_MULTISTEP,
    "IPNDMScheduler": IPNDM,
    "LCMScheduler": LCM,
    "SASolverScheduler": SASOLVER,
    "TCDScheduler": TCD,
    "EDMEulerScheduler": EDM_EULER,
    "FlowMatchEulerDiscreteScheduler": FLOW_MATCH_EULER,
    "UniPCMultistepScheduler": UNIPC_MULTISTEP,
}
