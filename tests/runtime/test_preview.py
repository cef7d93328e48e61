"""The public door to previews: as it was, it takes the pipeline."""

import latentrt
from latentrt.preview import Preview, make_preview


def test_a_preview_is_made_for_a_pipeline():
    assert latentrt.preview.make_preview is latentrt.make_preview is make_preview
    with latentrt.load("demo", device="cpu") as pipeline:
        preview: Preview = make_preview(pipeline)
        step = next(pipeline.start_txt2img("a small blue ring", seed=1, num_inference_steps=2))
    assert preview.name == "linear"
    assert [picture.size for picture in preview(step.denoised)] == [(128, 128)]
