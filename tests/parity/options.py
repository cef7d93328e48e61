"""What each diffusers scheduler class can be asked for: every option that changes a result, with values to try."""

from typing import Any

import numpy as np

# A key of a space is an option of the config, or one of these:
#   "*…"    its values are dicts of several options that go together
#   "run.…" an argument of `step`, or `mu` of `set_timesteps`
#   "given" what `set_timesteps` is given in place of a number of steps: "timesteps" or "sigmas", see `grid.given`
#   "strength"
# The first value is what half of all combinations have.
Space = dict[str, tuple[Any, ...]]

COUNTS = (1, 2, 5, 10, 25, 50)

TRAINED = np.linspace(1e-4, 2e-2, 1000).tolist()

_SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_BETAS: tuple[dict[str, Any], ...] = (
    _SD,
    {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "linear"},  # the paper's LDM-4
    {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"},
    {"beta_start": 0.0004, "beta_end": 0.03, "beta_schedule": "scaled_linear", "num_train_timesteps": 500},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": TRAINED},
)
_SPACING: Space = {
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "steps_offset": (1, 0, 2),
}
_THRESHOLDING: Space = {
    "*threshold": (
        {},
        {"thresholding": True},
        {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5},
    )
}
_CLIP: Space = {
    "*clip": ({"clip_sample": False}, {"clip_sample": True}, {"clip_sample": True, "clip_sample_range": 1.7})
}
_RAMP: Space = {
    "*ramp": ({}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True})
}
_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
# The kind of sigmas decides what the network may predict, and whether there is a shift.
_RAMP_OR_FLOW: Space = {
    "*ramp": (
        {},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {**_FLOW, "flow_shift": 1.0},
        {**_FLOW, "flow_shift": 3.0},
    )
}
_CHURN: Space = {
    "*churn": (
        {},
        {"run.s_churn": 3.0},
        {"run.s_churn": 40.0, "run.s_noise": 1.003},
        {"run.s_churn": 8.0, "run.s_tmin": 0.05, "run.s_tmax": 5.0, "run.s_noise": 0.9},
    )
}
_STRENGTH: Space = {"strength": (None, None, None, 0.75, 0.4, 1.0)}
_TYPES: Space = {"prediction_type": ("epsilon", "v_prediction", "sample")}
_TWO_TYPES: Space = {"prediction_type": ("epsilon", "v_prediction")}
_ZERO_SNR: Space = {"rescale_betas_zero_snr": (False, True)}
_FINAL: Space = {"final_sigmas_type": ("zero", "sigma_min")}
_TIMESTEPS: Space = {"given": (None, None, "timesteps")}

_EDM: Space = {
    "*range": (
        {},
        {"sigma_min": 0.01, "sigma_max": 20.0},
        {"sigma_min": 0.03, "sigma_max": 500.0, "sigma_data": 1.0},
        {"sigma_data": 1.3},
    ),
    "sigma_schedule": ("karras", "exponential"),
    "rho": (7.0, 5.0, 9.5),
    **_TWO_TYPES,
    **_FINAL,
}

SPACES: dict[str, Space] = {
    "DDIMScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        **_CLIP,
        **_THRESHOLDING,
        **_ZERO_SNR,
        "set_alpha_to_one": (False, True),
        "run.eta": (0.0, 0.3, 1.0),
        "run.use_clipped_model_output": (False, True),
        **_STRENGTH,
    },
    "DDPMScheduler": {
        "*betas": (*_BETAS, {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "sigmoid"}),
        **_TYPES,
        **_SPACING,
        **_CLIP,
        **_THRESHOLDING,
        **_ZERO_SNR,
        "variance_type": (
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
            "learned",
            "learned_range",
        ),
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "PNDMScheduler": {
        "*betas": _BETAS,
        **_TWO_TYPES,
        **_SPACING,
        "skip_prk_steps": (True, False),
        "set_alpha_to_one": (False, True),
        **_STRENGTH,
    },
    "LMSDiscreteScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        **_RAMP,
        "run.order": (4, 1, 2, 3),
        **_STRENGTH,
    },
    "EulerDiscreteScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        **_RAMP,
        **_CHURN,
        **_ZERO_SNR,
        **_FINAL,
        "*bounds": ({}, {}, {"sigma_min": 0.1, "sigma_max": 10.0}, {"sigma_max": 20.0}),
        "interpolation_type": ("linear", "log_linear"),
        "*type": (
            {"timestep_type": "discrete"},
            {"timestep_type": "continuous"},
            {"timestep_type": "continuous", "prediction_type": "v_prediction"},
            {
                "timestep_type": "continuous",
                "prediction_type": "v_prediction",
                "interpolation_type": "log_linear",
            },
        ),
        "given": (None, None, None, "timesteps", "sigmas"),
        **_STRENGTH,
    },
    "EulerAncestralDiscreteScheduler": {
        "*betas": _BETAS,
        **_TWO_TYPES,
        **_SPACING,
        **_ZERO_SNR,
        **_STRENGTH,
    },
    "HeunDiscreteScheduler": {
        "*betas": (*_BETAS, {"beta_schedule": "exp"}),
        **_TYPES,
        **_SPACING,
        **_RAMP,
        **_CLIP,
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "KDPM2DiscreteScheduler": {
        "*betas": _BETAS,
        **_TWO_TYPES,
        **_SPACING,
        **_RAMP,
        **_STRENGTH,
    },
    "KDPM2AncestralDiscreteScheduler": {
        "*betas": _BETAS,
        **_TWO_TYPES,
        **_SPACING,
        **_RAMP,
        **_STRENGTH,
    },
    "DPMSolverMultistepScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        "*ramp": (*_RAMP_OR_FLOW["*ramp"], {"use_lu_lambdas": True}),
        **_THRESHOLDING,
        **_ZERO_SNR,
        **_FINAL,
        "algorithm_type": ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"),
        "solver_order": (2, 1, 3),
        "solver_type": ("midpoint", "heun"),
        "lower_order_final": (True, False),
        "euler_at_final": (False, True),
        "lambda_min_clipped": (float("-inf"), -5.1),
        "variance_type": (None, None, "learned", "learned_range"),
        "*dynamic": ({}, {}, {"use_dynamic_shifting": True, "run.mu": 0.8}),
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "DPMSolverSinglestepScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_RAMP_OR_FLOW,
        **_THRESHOLDING,
        **_FINAL,
        "algorithm_type": ("dpmsolver++", "dpmsolver", "sde-dpmsolver++"),
        "solver_order": (2, 1, 3),
        "solver_type": ("midpoint", "heun"),
        "lower_order_final": (True, False),
        "lambda_min_clipped": (float("-inf"), -5.1),
        "variance_type": (None, None, "learned", "learned_range"),
        "*dynamic": ({}, {}, {"use_dynamic_shifting": True, "run.mu": 0.8}),
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "DPMSolverSDEScheduler": {
        "*betas": _BETAS,
        **_TWO_TYPES,
        **_SPACING,
        **_RAMP,
        "run.s_noise": (1.0, 0.0, 1.01),
        **_STRENGTH,
    },
    "UniPCMultistepScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        "*ramp": (
            *_RAMP_OR_FLOW["*ramp"],
            {**_FLOW, "flow_shift": 3.0, "use_karras_sigmas": True},
            {**_FLOW, "shift_terminal": 0.1},
            {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 12.0},
        ),
        **_THRESHOLDING,
        **_ZERO_SNR,
        **_FINAL,
        "solver_order": (2, 1, 3, 4),
        "solver_type": ("bh2", "bh1"),
        "predict_x0": (True, False),
        "lower_order_final": (True, False),
        "disable_corrector": ([], [0], [1, 2]),
        "*dynamic": ({}, {}, {"use_dynamic_shifting": True, "run.mu": 0.8}),
        "given": (None, None, "sigmas"),
        **_STRENGTH,
    },
    "DEISMultistepScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        **_RAMP_OR_FLOW,
        **_THRESHOLDING,
        "solver_order": (2, 1, 3),
        "lower_order_final": (True, False),
        "*dynamic": ({}, {}, {"use_dynamic_shifting": True, "run.mu": 0.8}),
        **_STRENGTH,
    },
    # All there is: the number of training timesteps is the scale of the timesteps. Hence every count from 1 to 50.
    "IPNDMScheduler": {
        "num_train_timesteps": (1000, 100, 250, 500, 1234, 4000),
        "count": tuple(range(1, 51)),
    },
    "LCMScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_CLIP,
        **_THRESHOLDING,
        **_ZERO_SNR,
        "original_inference_steps": (50, 100, 64),
        "set_alpha_to_one": (True, False),
        "timestep_scaling": (10.0, 5.0),
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "TCDScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_CLIP,
        **_THRESHOLDING,
        **_ZERO_SNR,
        "original_inference_steps": (50, 100, 64),
        "set_alpha_to_one": (True, False),
        "run.eta": (0.3, 0.0, 1.0),
        **_TIMESTEPS,
        **_STRENGTH,
    },
    "SASolverScheduler": {
        "*betas": _BETAS,
        **_TYPES,
        **_SPACING,
        **_RAMP_OR_FLOW,
        **_THRESHOLDING,
        "predictor_order": (2, 1, 3),
        "corrector_order": (2, 0, 1, 3),
        "algorithm_type": ("data_prediction", "noise_prediction"),
        "lower_order_final": (True, False),
        "lambda_min_clipped": (float("-inf"), -5.1),
        "variance_type": (None, None, "learned", "learned_range"),
        **_STRENGTH,
    },
    "EDMEulerScheduler": {**_EDM, **_CHURN, "given": (None, None, "sigmas")},
    "EDMDPMSolverMultistepScheduler": {
        **_EDM,
        **_THRESHOLDING,
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_order": (2, 1, 3),
        "solver_type": ("midpoint", "heun"),
        "lower_order_final": (True, False),
        "euler_at_final": (False, True),
    },
    "FlowMatchEulerDiscreteScheduler": {
        "shift": (1.0, 3.0, 0.7),
        "*dynamic": (
            {},
            {"use_dynamic_shifting": True, "run.mu": 0.8},
            {"use_dynamic_shifting": True, "time_shift_type": "linear", "run.mu": 1.9},
        ),
        "shift_terminal": (None, 0.02, 0.2),
        "invert_sigmas": (False, False, True),
        **_RAMP,
        "stochastic_sampling": (False, True),
        "num_train_timesteps": (1000, 250),
        "given": (None, None, "timesteps", "sigmas", "both"),
    },
}
