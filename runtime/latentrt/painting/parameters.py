"""What is written into a picture of its run, by which it is made again."""

from collections.abc import Mapping
from typing import Any

from latentrt.models.model import Model
from latentrt.painting.following import label_in
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.request import Request
from latentrt.painting.setting import entries, record
from latentrt.pictures.metadata import FIELDS, GenerationParameters
from latentrt.samplers import CLASS_ENTRY, SCHEDULE_ENTRY

# Says that an empty negative prompt was given and encoded; without it an XL model was told nothing.
EMPTY_NEGATIVE = ("Empty negative prompt", "encoded")
# The map of depths that was painted after, which is in no text: its size.
DEPTH_ENTRY = "Depth map"
PRECISION_ENTRY = "Precision"  # of what is painted near the exact picture, in bf16 or int8


def parameters_of(request: Request, model: Model, dtype: str = "fp32") -> list[GenerationParameters]:
    """What to write into each picture of a run; `dtype`: what the UNet computes in."""
    made = []
    precision = ((PRECISION_ENTRY, dtype),) if dtype in ("bf16", "int8") else ()
    for batch in request.seeds.batches:
        for index, seed in enumerate(batch.seeds):
            varied = {"variation_seed": batch.variations[index]} if batch.variations else {}
            told = _told(request, seed, varied)
            mapped = () if request.depth is None else ((DEPTH_ENTRY, "{}x{}".format(*request.depth.size)),)
            shared = request.seeds.one_stream and len(batch.seeds) > 1
            place = (("Batch size", str(len(batch.seeds))), ("Batch pos", str(index))) if shared else ()
            texts = entries(RUNS[request.run], told)
            made.append(
                GenerationParameters(
                    prompt=request.prompt,
                    negative_prompt=request.negative_prompt,
                    width=request.width,
                    height=request.height,
                    model=model.name,
                    **{FIELDS[key][0]: value for key, (value, _) in texts.items() if key in FIELDS},
                    extra=tuple((key, text) for key, (_, text) in texts.items() if key not in FIELDS)
                    + model.entries
                    + (EMPTY_NEGATIVE,) * request.encodes_empty_negative
                    + mapped
                    + precision
                    + place,
                    told=told | {"one_stream": shared or None},
                )
            )
    return made


def _told(request: Request, seed: int, varied: Mapping[str, int]) -> dict[str, Any]:
    """What `--json` and the picture's text tell of one picture."""
    sampler, schedule_type, more = request.sampler.metadata
    own = dict(more)
    values = {**request.settings, "seed": seed, "variation_seed": None, **varied}
    return record(RUNS[request.run], values) | {
        "sampler": label_in(request.program, request.sampler.key, sampler),
        "sampler_class": own.get(CLASS_ENTRY),
        "schedule_type": schedule_type,
        "sigma_schedule": own.get(SCHEDULE_ENTRY),
    }
