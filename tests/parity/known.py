"""Where we differ from diffusers 0.42, and why."""

from collections.abc import Callable

from parity.case import Case


def _blind(case: Case) -> bool:
    classes = ("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "TCDScheduler")
    config = case.config
    return (
        case.class_name in classes
        and bool(config.get("rescale_betas_zero_snr"))
        and config.get("prediction_type") == "epsilon"
        and not (
            config["clip_sample"] and not config.get("thresholding") and case.class_name != "TCDScheduler"
        )
    )


def _lms_begun_late(case: Case) -> bool:
    return case.class_name == "LMSDiscreteScheduler" and case.strength is not None and case.strength < 1


def _runge_kutta_begun_late(case: Case) -> bool:
    return (
        case.class_name == "PNDMScheduler" and not case.config["skip_prk_steps"] and case.strength is not None
    )


def _pndm_of_two(case: Case) -> bool:
    return case.class_name == "PNDMScheduler" and case.count == 2 and bool(case.config["skip_prk_steps"])


def _ancestral_of_two(case: Case) -> bool:
    return case.class_name == "KDPM2AncestralDiscreteScheduler" and case.count == 2


_RAMPS = ("use_flow_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def _ramp_over_zero_snr(case: Case) -> bool:
    ramps = (*_RAMPS, "use_lu_lambdas")
    return bool(case.config.get("rescale_betas_zero_snr")) and any(case.config.get(key) for key in ramps)


def _how_many_timesteps(case: Case) -> bool:
    flow = bool(case.config.get("use_flow_sigmas"))
    return case.class_name == "DPMSolverSinglestepScheduler" and flow and case.timesteps is not None


def _ends_of_given_sigmas(case: Case) -> bool:
    karras = bool(case.config.get("use_karras_sigmas"))
    return case.class_name == "UniPCMultistepScheduler" and karras and case.sigmas is not None


def _noise_at_the_wrong_end(case: Case) -> bool:
    config = case.config
    flow = case.class_name == "FlowMatchEulerDiscreteScheduler"
    return flow and bool(config["invert_sigmas"]) and bool(config["stochastic_sampling"])


KNOWN: dict[str, tuple[Callable[[Case], bool], str]] = {
    "zero SNR, epsilon": (
        _blind,
        "Noise predicted from pure noise says nothing of the picture: diffusers divides by 0, we refuse. With "
        "clip_sample it makes signs of that, of which the run recovers; so do we.",
    ),
    "LMS in img2img": (
        _lms_begun_late,
        "diffusers weighs the first steps of img2img as if there were outputs before them, so that the weights do not "
        "add up to the step; ours begins with first order, as a whole run does.",
    ),
    "Runge-Kutta in img2img": (
        _runge_kutta_begun_late,
        "PNDM with skip_prk_steps false counts its four evaluations from the beginning of the whole run; begun within, "
        "diffusers evaluates at timesteps that belong to another step. We refuse.",
    ),
    "PNDM of 2 steps": (
        _pndm_of_two,
        "Its noise is taken back out of float32 x₀, (x − x₀)/σ at σ = 0.01 to 0.03, good to 1e-5, and multiplied by a "
        "larger σ. The float64 runs agree.",
    ),
    "KDPM2 ancestral of 2 steps": (
        _ancestral_of_two,
        "σ_down² is a difference of two squares that agree in all but their last digits of float32, so that the middle "
        "shows each rounding of a square root, and torch's is not the same on every processor. The float64 runs agree.",
    ),
    "ramps over zero SNR": (
        _ramp_over_zero_snr,
        "Classes that look timesteps up by sigma put ᾱ = 2⁻²⁴ behind smaller ones, so that σ falls at the end of the "
        "table; which timestep is found there is decided by the rounding of a square root.",
    ),
    "singlestep, flow, timesteps given": (
        _how_many_timesteps,
        "Of the timesteps, diffusers takes only how many they are. We refuse.",
    ),
    "UniPC, Karras, sigmas given": (
        _ends_of_given_sigmas,
        "Of sigmas that are given, diffusers takes the first and the last, and a Karras ramp between. We refuse.",
    ),
    "inverted and stochastic flow": (
        _noise_at_the_wrong_end,
        "With invert_sigmas and stochastic_sampling both, diffusers mixes by the inverted sigma, so that a run ends in "
        "noise.",
    ),
}
