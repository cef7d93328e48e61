"""What is no model is said to be what it is, with the way out; models on disk are called by their folders."""

import json
from pathlib import Path

import pytest

from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.locate import locate, name_of

DEMO = open_model("demo").root


def test_the_demo():
    assert (locate("demo").path, locate("demo").name, name_of("demo")) == (DEMO, "demo", "demo")


def test_a_folder_is_called_by_its_own_name(tmp_path, monkeypatch):
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for given in (folder, str(folder), Path(), ".", tmp_path / "link", f"{tmp_path}/a model/../link"):
        assert name_of(given) == "a model"
    assert locate(tmp_path / "link").name == "a model"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/link").name == "a model"


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_a_part_is_told_from_the_whole(component, tmp_path):
    kind = json.loads((DEMO / component / "config.json").read_text())
    kind = kind.get("_class_name") or kind["architectures"][0]
    with pytest.raises(ModelError, match=rf"is one part of a model \({kind}\): give the folder .* {DEMO}$"):
        locate(DEMO / component)
    (tmp_path / component).mkdir()
    (tmp_path / component / "config.json").write_bytes((DEMO / component / "config.json").read_bytes())
    with pytest.raises(ModelError, match=rf"is one part of a model \({kind}\): give the whole model"):
        locate(tmp_path / component)


def test_what_lies_in_a_folder_is_named(tmp_path):
    with pytest.raises(
        ModelError, match=r"is no model: it has no model_index\.json\. Expected .* a bundle\.$"
    ):
        locate(tmp_path)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ModelError, match=rf"files that may each be a model: {tmp_path}/a\.safetensors$"):
        locate(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model_index.json").touch()
    with pytest.raises(ModelError, match=rf"there is one in it: {tmp_path}/inner$"):
        locate(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "nothing", "./org/name", "/org/name", "a/b/c", "~nobody-of-that-name/x", "a\0b"]
)
def test_what_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such model|is no model"):
        locate(name)


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "a").symlink_to("b")
    with pytest.raises(ModelError, match="a: is a link to b, which is not there"):
        locate(tmp_path / "a")


def test_an_index_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "model_index.json").symlink_to("blob")
    with pytest.raises(ModelError, match=r"model_index\.json: is a link to blob, which is not there"):
        open_model(tmp_path)
