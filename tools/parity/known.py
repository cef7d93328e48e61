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
    )


def _lms_begun_late(case: Case) -> bool:
    return case.class_name == "LMSDiscreteScheduler" and case.strength is not None and case.strength < 1


def _runge_kutta_begun_late(case: Case) -> bool:
    return (
        case.class_name == "PNDMScheduler" and not case.config["skip_prk_steps"] and case.strength is not None
    )


def _pndm_of_two(case: Case) -> bool:
    return case.class_name == "PNDMScheduler" and case.count == 2 and bool(case.config["skip_prk_steps"])


def _churn_along_log_linear(case: Case) -> bool:
    config, kind = case.config, case.class_name == "EulerDiscreteScheduler"
    return kind and config["interpolation_type"] == "log_linear" and case.run.get("s_churn", 0) > 0


_RAMPS = ("use_flow_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def _sa_begun_off_the_table(case: Case) -> bool:
    ramp = any(case.config.get(key) for key in _RAMPS)
    return case.class_name == "SASolverScheduler" and ramp and case.strength is not None


def _ends_of_given_sigmas(case: Case) -> bool:
    karras = bool(case.config.get("use_karras_sigmas"))
    return case.class_name == "UniPCMultistepScheduler" and karras and case.sigmas is not None


KNOWN: dict[str, tuple[Callable[[Case], bool], str]] = {
    "zero SNR, epsilon": (
        _blind,
        "Noise predicted from pure noise says nothing of the picture: diffusers divides by 0, we refuse.",
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
    "churn with log_linear": (
        _churn_along_log_linear,
        "diffusers counts one sigma too many with interpolation_type log_linear, and divides s_churn by n + 1.",
    ),
    "SA-Solver, ramps, img2img": (
        _sa_begun_off_the_table,
        "diffusers' SASolverScheduler.add_noise takes ᾱ of the timestep, and steps go on from the sigma of a ramp (flow, "
        "Karras, exponential, beta), which is another.",
    ),
    "UniPC, Karras, sigmas given": (
        _ends_of_given_sigmas,
        "Of sigmas that are given, diffusers takes the first and the last, and a Karras ramp between. We refuse.",
    ),
}
