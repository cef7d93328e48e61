"""What `doctor` recommends, by processor and GPU."""

import json

import pytest

from latentrt.cli import doctor, main
from latentrt.cli.recommend import RULES, Machine, has_nvidia, recommendations
from latentrt.engine.processor import Processor, processor_here

AVX2 = ("avx", "avx2", "f16c", "fma")
AVX512 = (*AVX2, "avx512f", "avx512_vnni")
AMX = (*AVX512, "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "amx_tile")


def machine(maker="intel", features=AVX2, nvidia=False, runs=("cpu",)):
    return Machine(Processor("Some processor", maker, features), nvidia, frozenset(runs))


@pytest.mark.parametrize(
    ("here", "steps"),
    [
        (
            machine(features=AMX),
            [
                ("pip install 'latentrt[openvino]'", "--device openvino --dtype bf16"),
                (None, "--device cpu --dtype int8"),
            ],
        ),
        (
            machine(features=AMX, runs=("openvino", "cpu")),
            [(None, "--device openvino --dtype bf16"), (None, "--device cpu --dtype int8")],
        ),
        (
            machine("amd", (*AVX512, "avx512_bf16")),
            [
                (
                    "pip install 'latentrt[openvino-amd]' in an environment of its own",
                    "--device openvino --dtype bf16",
                ),
                (None, "--device cpu --dtype int8"),
            ],
        ),
        (machine("intel", AVX512), [(None, "--device cpu --dtype int8")]),
        (
            machine("intel", (*AVX2, "avx_vnni"), runs=()),
            [("pip install 'latentrt[cpu]'", "--device cpu --dtype int8")],
        ),
        (machine("amd", AVX2), [(None, None)]),
        (machine("", ("asimd", "asimddp", "i8mm")), [(None, None)]),
        (machine("", ()), [(None, None)]),
        (
            machine("amd", AVX2, nvidia=True),
            [("pip install 'latentrt[cuda]' in an environment of its own", "--device cuda")],
        ),
        (machine("amd", AVX2, nvidia=True, runs=("cuda", "cpu")), [(None, "--device cuda")]),
    ],
)  # fmt: skip
def test_each_kind_of_machine(here, steps):
    found = recommendations(here)
    assert [(one["install"], one["use"]) for one in found] == steps
    assert all(one["reason"] for one in found)


def test_a_processor_with_nothing_faster_is_told_why():
    assert "AVX512-BF16, AMX, VNNI" in recommendations(machine())[0]["reason"]
    assert "not told" in recommendations(machine("", ()))[0]["reason"]


def test_every_rule_stands_in_the_docs(request):
    docs = (request.config.rootpath / "docs/cli.md").read_text()
    for rule in RULES:
        assert rule.use in docs and rule.install.partition("'")[2].partition("'")[0] in docs


def test_doctor_tells_it(capsys, monkeypatch):
    amx = Processor("Some Xeon", "intel", AMX)
    monkeypatch.setattr(doctor, "processor_here", lambda: amx)
    monkeypatch.setattr(doctor, "has_nvidia", lambda: False)
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["recommended"][0]["use"] == "--device openvino --dtype bf16"
    assert facts["threads"]["reason"]
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "recommended\n" in text and "--device openvino --dtype bf16\n      AMX: " in text


def test_processors_of_linux(tmp_path):
    said = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 avx512_bf16 new\n"
    (tmp_path / "cpuinfo").write_text(said)
    found = processor_here(tmp_path / "cpuinfo")
    assert found == Processor("AMD EPYC", "amd", ("avx", "avx2", "avx512_bf16"))
    assert found.has_bf16 and not found.has_vnni


def test_the_driver_tells_of_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_nvidia(tmp_path / "version")
    (tmp_path / "version").write_text("NVRM version")
    assert has_nvidia(tmp_path / "version")
