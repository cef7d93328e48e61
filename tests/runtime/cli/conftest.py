"""The command line over a stand-in for the pipeline."""

from pathlib import Path
from typing import Any

import pytest
from grey_pipeline import Asked, GreyPipeline

import latentrt


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """What is asked of the stand-in; the command runs in `tmp_path`."""
    asked = Asked()

    def load(model: str, **options: Any) -> GreyPipeline:
        asked.calls.append(("load", model, options))
        return GreyPipeline(asked)

    monkeypatch.setitem(vars(latentrt), "load", load)  # setattr would import the real one
    monkeypatch.chdir(tmp_path)
    return asked
