"""Whatever a model's JSON says, it is opened, or refused by an error of ours."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import LatentrtError
from latentrt.models.bundle import open_model
from latentrt.networks import Variant

FILES = (
    "model_index.json", "generation_config.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
    "unet/config.json", "vae/config.json",
)  # fmt: skip
DEMO = open_model("demo").root
KEYS = sorted({key for name in FILES for key in json.loads((DEMO / name).read_text())})
ASKED = (
    "default_size", "latent_channels", "scaling_factor", "unet_channels", "text_layers", "num_time_ids",
    "guidance_width", "zeroes_empty_negative",
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(KEYS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(DEMO, root, ignore=shutil.ignore_patterns("*.safetensors"))
    return root


@given(
    st.sampled_from(FILES),
    st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3),
    st.integers(0, 20),
)
def test_any_config_is_a_models_or_an_error_of_ours(
    folder: Path, name: str, values: dict[str, object], cut: int
) -> None:
    path = folder / name
    before = path.read_text()
    own = json.loads(before)
    changed = json.dumps({key: value for key, value in (own | values).items() if cut != 1 or key in values})
    path.write_text(changed if cut else changed[:-1])
    try:
        model = open_model(folder)
        for asked in ASKED:
            try:
                getattr(model, asked)
            except LatentrtError:
                continue
        component = model.components[{"vae": "vae_decoder"}.get(name.split("/")[0], "unet")]
        component.graph(Variant())
    except LatentrtError as error:
        assert len(str(error)) < 2000
    finally:
        path.write_text(before)
