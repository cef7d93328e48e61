"""What counts for a folder whose maker advises nothing: its family's, or that of models of few steps of its name."""

from dataclasses import replace

from latentrt.models.families import SDXL
from latentrt.models.few_steps import few_steps_of
from latentrt.models.model import Model

_OF_ITS_SCHEDULER = ("timesteps", "eta")  # advice that means something to one class of scheduler


def with_advice(model: Model, name: str) -> Model:
    """The model with advice for what its own files leave open. Its scheduler stays its own.

    Args:
        model: of a folder, or of the hub.
        name: by which people know it.
    """
    unet, scheduler = model.components["unet"].config, model.scheduler_config
    advice = dict(SDXL.defaults) if model.is_xl else {}
    few = few_steps_of(name, unet.get("time_cond_proj_dim") is not None, model.is_xl)
    notes = model.notes
    if few is not None:
        same = scheduler.get("_class_name") == few.scheduler["_class_name"]
        advice |= {key: value for key, value in few.defaults.items() if same or key not in _OF_ITS_SCHEDULER}
        if not model.guidance_width and not set(few.defaults) <= set(model.defaults):
            notes += (f"{name}: taken for a model of few steps, {few.name}, by its name",)
    return replace(model, defaults={**advice, **model.defaults}, notes=notes)
