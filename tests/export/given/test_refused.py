"""What is ONNX already is not exported, nor taken apart by the benchmarks."""

from pathlib import Path

import pytest

from latentrt.errors import ModelError
from latentrt_export.bundle.source import open_source


@pytest.mark.parametrize(
    "file", ["unet/model.onnx", "engine/unet.ort_cuda.fp16/model.onnx", "sd-unet-v1.5.onnx"]
)
def test_export_names_what_it_was_given(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"never read")
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="is ONNX already, as somebody exported it; expected the checkpoint"):
        open_source(tmp_path)
