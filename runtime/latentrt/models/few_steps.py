"""Models that were trained to paint in few steps: how their makers say to run them.

Nothing in their tensors tells them from others, but for latent consistency models; a name does, of the file or in its
metadata. So what is taken from it is told (`Model.notes`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from latentrt.models import published

# The noise levels that DMD2 and a Hyper-SD of one step were trained at.
_DMD2 = {4: (999, 749, 499, 249), 1: (399,)}
_HYPER_ONE_STEP = (800,)


@dataclass(frozen=True)
class FewSteps:
    """How to run a model of few steps.

    Attributes:
        name: as people call it.
        scheduler: its scheduler config.
        defaults: advice for a run, see `Family`.
    """

    name: str
    scheduler: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def few_steps_of(name: str, latent_consistency: bool, xl: bool) -> FewSteps | None:
    """How to run the model of this name; None where it says nothing of few steps.

    Args:
        name: of a file or folder, or a title in its metadata.
        latent_consistency: its UNet takes the guidance scale in.
        xl: it is of SDXL's kind.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name.lower())
    match = re.search(r"(?<![0-9])([1248])-?steps?(?![a-z0-9])", text)
    steps = int(match[1]) if match else None
    advice: dict[str, Any]
    off: dict[str, Any] = {"guidance_scale": 0.0}
    if latent_consistency:
        advice = {"num_inference_steps": 4, "guidance_scale": 8.5}
        return FewSteps("latent consistency model", published.LCM_SCHEDULER, advice)
    if re.search(r"(^|-)(sd-?(xl-?|2-?1?-?)?|xl-)turbo(-|$)", text):
        scheduler = published.TURBO_SCHEDULER if xl else published.LIGHTNING_SCHEDULER
        return FewSteps("Turbo", scheduler, {**off, "num_inference_steps": 1, "width": 512, "height": 512})
    if "lightning" in text and xl and steps is not None:
        scheduler = published.LIGHTNING_SCHEDULER
        if steps == 1:  # the one that predicts the picture itself
            scheduler = {**scheduler, "prediction_type": "sample"}
        return FewSteps(f"Lightning, {steps} steps", scheduler, {**off, "num_inference_steps": steps})
    if "dmd2" in text and steps in _DMD2:
        advice = {**off, "num_inference_steps": steps, "timesteps": list(_DMD2[steps])}
        return FewSteps(f"DMD2, {steps} steps", published.LCM_SCHEDULER_OF_OTHERS, advice)
    if re.search(r"hyper-?sd", text) and steps is not None:
        if steps == 1:
            advice = {**off, "num_inference_steps": 1, "timesteps": list(_HYPER_ONE_STEP), "eta": 1.0}
            return FewSteps("Hyper-SD, 1 step", published.TCD_SCHEDULER, advice)
        return FewSteps(
            f"Hyper-SD, {steps} steps", published.HYPER_SCHEDULER, {**off, "num_inference_steps": steps}
        )
    if re.search(r"(^|-)lcm(-|$)", text):
        return FewSteps(
            "LCM", published.LCM_SCHEDULER_OF_OTHERS, {"num_inference_steps": 4, "guidance_scale": 1.0}
        )
    return None
