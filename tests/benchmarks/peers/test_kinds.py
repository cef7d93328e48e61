"""Which models the peers race with: those that every one of them can be asked for the same picture of."""

from pathlib import Path

import pytest
from kinds import KINDS
from single_files import write_kind, write_small_xl

from latentrt.cli.main import main
from latentrt.models.bundle import open_model
from latentrt.networks import Variant
from latentrt_bench.peers.command import refuse_unraced
from latentrt_bench.peers.materials import SCHEDULER, make_checkpoint, make_descriptions


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refiner", "is a refiner"),
        ("sd1-inpaint", "takes a picture beside the prompt"),
        ("ip2p", "takes a picture beside the prompt"),
        ("lcm", "is a latent consistency model"),
    ],
)
def test_others_are_refused_by_name(name: str, reason: str, tmp_path: Path, capsys) -> None:
    file = write_kind(tmp_path / "model.safetensors", KINDS[name])
    assert main(["bench", "peers", "--model", str(file), "--envs", str(tmp_path / "envs"), "--quiet"]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "envs").exists()


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl", "ssd-1b"])
def test_text_to_image_models_in_one_file_are_taken(name: str, tmp_path: Path) -> None:
    refuse_unraced(open_model(write_kind(tmp_path / "model.safetensors", KINDS[name])))


def test_of_a_file_a_folder_is_written_with_the_scheduler_that_all_have(tmp_path: Path) -> None:
    """Once; of it, or of its descriptions alone."""
    file = write_small_xl(tmp_path / "model.safetensors")
    folder, described = make_checkpoint(file, tmp_path), make_descriptions(file, tmp_path)
    assert not list(described.rglob("*.safetensors"))
    ours, theirs = open_model(file), open_model(folder)
    for name, component in ours.components.items():
        for parameter in component.graph(Variant()).parameters:
            assert theirs.components[name].weights.find(parameter.name) is not None
    for root in (folder, described):
        config = open_model(root).scheduler_config
        assert config["_class_name"] == SCHEDULER["_class_name"]
        assert (config["timestep_spacing"], config["beta_schedule"]) == ("linspace", "scaled_linear")
    before = (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    assert make_checkpoint(file, tmp_path) == folder
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before
