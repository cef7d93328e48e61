"""Peers in environments of their own, from the package index: minutes and gigabytes."""

from pathlib import Path

import pytest

from latentrt.cli.main import main
from latentrt_bench.peers.catalogue import ENVIRONMENTS
from latentrt_bench.report import read_report

PEERS = ("diffusers-fp32", "latentrt", "optimum-bundle-fp16", "optimum-bundle-fp32")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_our_bundle_loads_unchanged_in_optimum_and_paints_the_same(tmp_path: Path) -> None:
    out = tmp_path / "peers.json"
    asked = [word for name in PEERS for word in ("--peer", name)]
    command = [
        "bench",
        "peers",
        "--model",
        "demo",
        *asked,
        "--rounds",
        "1",
        "--envs",
        str(tmp_path),
        "--quiet",
    ]
    assert main([*command, "--out", str(out)]) == 0
    rows = {row.name: row for row in read_report(out).rows}
    for name in PEERS:
        assert {m.status for m in rows[name].measurements.values()} == {"measured"}, rows[name].measurements
    for name, largest in (("latentrt", 1), ("optimum-bundle-fp32", 1), ("optimum-bundle-fp16", 4)):
        assert rows[name].facts["picture"]["max"] <= largest, name
    for name in PEERS[2:]:
        assert rows[name].facts["reads"] == "latentrt bundle"
        assert rows[name].facts["versions"]["optimum-onnx"] == "0.1.0"
        asked_for = ENVIRONMENTS["latentrt-export"].requirements
        assert f"diffusers=={rows[name].facts['exported_by']['diffusers']}" in asked_for
