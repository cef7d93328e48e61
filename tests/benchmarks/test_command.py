"""What is left of a run, however it ends; and what the command line refuses."""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from latentrt.claim import TargetTaken, claim_file
from latentrt.cli.main import main
from latentrt.errors import InputError
from latentrt_bench import command
from latentrt_bench.latent_vs_pixel import command as latent_vs_pixel
from latentrt_bench.latent_vs_pixel.derive import derive
from latentrt_bench.measuring.process import Job
from latentrt_bench.measuring.rounds import Task, run_rounds
from latentrt_bench.report import Measurement, Report, Row, read_report

STAND_IN = Path(__file__).with_name("stand_in.py")
# A benchmark of two sleepers; the second never ends its second round within a test.
SCRIPT = f"""
import argparse, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from latentrt.cli import console
from test_command import conduct_sleepers
with console.ends_at_signals(last=False):
    sys.exit(conduct_sleepers(sys.argv[1], [1.1], [1.1, 1.1, 1.1, 60.0]))
"""


def conduct_sleepers(out: str, *seconds: list[float], **options: object) -> int:
    """`latentrt bench` of contenders that sleep: LDM-1's and LDM-4's steps."""

    def measure(report: Report, tell: command.Tell) -> None:
        tasks = []
        for f, durations in zip((1, 4), seconds, strict=False):
            where = {"model": f"LDM-{f}", "f": f, "width": 256, "height": 256, "batch": 1}
            step = Measurement(macs=10)
            report.rows.append(
                Row(f"LDM-{f}", where, {"step": step}, {"latent": [3, 256, 256], "parameters": 1})
            )
            job = Job(f"{STAND_IN}:Sleeper", {"seconds": durations})
            tasks.append(Task(f"LDM-{f}", job, step))
        run_rounds(tasks, rounds=3, tell=lambda message: print(message, file=sys.stderr, flush=True))

    args = argparse.Namespace(out=Path(out), report=False, json=False, quiet=True, **options)
    return command.conduct(args, "latent-vs-pixel", {}, measure, derive)


def test_a_whole_run_is_written_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run.json"
    assert conduct_sleepers(str(out), [0.2], [0.1]) == 0
    report = read_report(out)
    assert report.complete
    assert [len(row.measurements["step"].rounds) for row in report.rows] == [3, 3]
    assert report.derived["sizes"][0]["models"][1]["step_ratio"] == pytest.approx(2, rel=0.2)
    assert "LDM-4" in capsys.readouterr().out


def test_an_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    """LDM-1 has two rounds then, LDM-4 one; the exit code is an interrupt's."""
    out = tmp_path / "run.json"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "round 2 of 3: LDM-4" in line:
                break
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        printed, said = run.communicate(timeout=30)
    assert run.returncode == 130, said
    assert "interrupted; what was finished is kept" in said
    report = read_report(out)
    assert not report.complete
    assert [len(row.measurements["step"].rounds) for row in report.rows] == [2, 1]
    assert "interrupted" in printed.lower()
    assert "Traceback" not in said


def test_a_failure_of_ours_keeps_what_was_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        where = {"model": "LDM-1", "f": 1, "width": 256, "height": 256, "batch": 1}
        report.rows.append(Row("LDM-1", where, {"step": Measurement(rounds=[[1.0]], macs=1)}))
        raise OSError("a driver is gone")

    args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
    with pytest.raises(OSError, match="a driver is gone"):
        command.conduct(args, "latent-vs-pixel", {}, measure, derive)
    report = read_report(args.out)
    assert (report.complete, report.rows[0].measurements["step"].seconds) == (False, 1.0)
    assert report.warnings[0] == "the run ended early: OSError: a driver is gone"
    assert "LDM-1" in capsys.readouterr().out


def test_an_interrupt_before_anything_was_measured_leaves_an_earlier_report(tmp_path: Path) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        report.rows.append(Row("LDM-1", {}, {"step": Measurement()}))
        raise KeyboardInterrupt

    args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
    args.out.write_text("an earlier report")
    assert command.conduct(args, "latent-vs-pixel", {}, measure, derive) == 130
    assert args.out.read_text() == "an earlier report"


def test_samples_are_written_where_nothing_can_be_derived(tmp_path: Path) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        report.rows.append(Row("LDM-1", {}, {"step": Measurement(rounds=[[1.0]])}))

    args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
    with pytest.raises(ZeroDivisionError):
        command.conduct(args, "latent-vs-pixel", {}, measure, lambda report: {"x": 1 // 0})
    report = read_report(args.out)
    assert report.rows[0].measurements["step"].rounds == [[1.0]]
    assert any("nothing was derived: ZeroDivisionError" in warning for warning in report.warnings)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_when_all_is_measured_is_too_late(tmp_path: Path, number: signal.Signals) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        report.rows.append(Row("LDM-1", {}, {"step": Measurement(rounds=[[1.0]])}))

    def derived(report: Report) -> dict[str, object]:
        signal.raise_signal(number)
        return {}

    before = signal.getsignal(number)
    args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
    assert command.conduct(args, "latent-vs-pixel", {}, measure, derived) == 0
    assert read_report(args.out).complete
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup: the terminal may go."""

    def measure(report: Report, tell: command.Tell) -> None:
        signal.raise_signal(signal.SIGHUP)
        report.rows.append(Row("LDM-1", {}, {"step": Measurement(rounds=[[1.0]])}))

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
        assert command.conduct(args, "latent-vs-pixel", {}, measure, lambda report: {}) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_exit_code_says_which_signal_it_was(tmp_path: Path, name: str, code: int) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")

    def measure(report: Report, tell: command.Tell) -> None:
        report.rows.append(Row("LDM-1", {}, {"step": Measurement(rounds=[[1.0]], macs=1)}))
        signal.raise_signal(getattr(signal, name))

    assert command.conduct(asked(tmp_path), "latent-vs-pixel", {}, measure, lambda report: {}) == code
    assert not read_report(tmp_path / "run.json").complete
    assert left(tmp_path) == ["run.json"]


def asked(folder: Path, out: str | None = "run.json", report: bool = False) -> argparse.Namespace:
    path = None if out is None else folder / out
    return argparse.Namespace(out=path, report=report, json=False, quiet=True)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def nothing(report: Report) -> dict[str, object]:
    return {}


def measure_step(report: Report, tell: command.Tell) -> None:
    where = {"model": "LDM-1", "f": 1, "width": 256, "height": 256, "batch": 1}
    report.rows.append(Row("LDM-1", where, {"step": Measurement(rounds=[[1.0]], macs=1)}))


def test_a_report_that_appears_meanwhile_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        measure_step(report, tell)
        (tmp_path / "run.json").write_text("theirs")

    with pytest.warns(TargetTaken, match=r"run\.json: something else"):
        assert command.conduct(asked(tmp_path), "latent-vs-pixel", {}, measure, nothing) == 0
    assert (tmp_path / "run.json").read_text() == "theirs"
    assert read_report(tmp_path / "run-2.json").complete
    assert f"written: {tmp_path / 'run-2.json'}\n" in capsys.readouterr().err
    assert left(tmp_path) == ["run-2.json", "run.json"]


def test_of_two_to_one_report_the_second_is_refused_before_it_measures(tmp_path: Path) -> None:
    def never(report: Report, tell: command.Tell) -> None:
        pytest.fail("it may not begin")

    with claim_file(tmp_path / "run.json"), pytest.raises(InputError, match="is being written already"):
        command.conduct(asked(tmp_path), "latent-vs-pixel", {}, never, nothing)
    assert left(tmp_path) == []


@pytest.mark.parametrize("stands", ["notes", "page", None])
def test_a_page_replaces_an_earlier_page_and_nothing_else(tmp_path: Path, stands: str | None) -> None:
    """The user has named the report, and no page."""
    html = tmp_path / "run.html"
    if stands == "notes":
        html.write_text("<!doctype html><title>My notes</title>")
    elif stands == "page":
        assert command.conduct(asked(tmp_path, report=True), "latent-vs-pixel", {}, measure_step, derive) == 0
        html.write_text(html.read_text() + "<!-- an earlier one -->")
    before = html.read_text() if stands else ""
    with pytest.warns(TargetTaken) if stands == "notes" else contextlib.nullcontext():
        assert command.conduct(asked(tmp_path, report=True), "latent-vs-pixel", {}, measure_step, derive) == 0
    if stands == "notes":
        assert html.read_text() == before
        assert command.GENERATOR.decode() in (tmp_path / "run-2.html").read_text()
    else:
        assert html.read_text() != before
        assert left(tmp_path) == ["run.html", "run.json"]


def test_a_name_that_nobody_gave_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 11, 23, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(command, "datetime", Clock)
    (tmp_path / "model-20261123-120000.json").write_text("theirs")
    with pytest.warns(TargetTaken):
        assert command.conduct(asked(tmp_path, out=None), "model", {}, measure_step, nothing) == 0
    assert left(tmp_path) == ["model-20261123-120000-2.json", "model-20261123-120000.json"]
    assert (tmp_path / "model-20261123-120000.json").read_text() == "theirs"


def test_a_killed_run_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        next(line for line in run.stderr if "LDM-1" in line)
        assert left(tmp_path) == [".run.json.latentrt-lock"]
        run.kill()
        run.communicate()
    assert command.conduct(asked(tmp_path), "latent-vs-pixel", {}, measure_step, nothing) == 0
    assert left(tmp_path) == ["run.json"]


def test_the_page_does_not_take_the_reports_place(tmp_path: Path) -> None:
    args = argparse.Namespace(out=tmp_path / "run.html", report=True, json=False, quiet=True)
    with pytest.raises(InputError, match=r"--report writes the page there; .*run\.json"):
        command.conduct(args, "latent-vs-pixel", {}, lambda report, tell: None, derive)


def test_what_was_only_begun_is_dropped() -> None:
    report = Report("latent-vs-pixel", [], "", {}, {}, {})
    report.rows = [
        Row("begun", {}, {"step": Measurement(warmup=[1.0])}),
        Row("done", {}, {"step": Measurement(rounds=[[1.0]]), "decode": Measurement()}),
        Row("failed", {}, {"step": Measurement(status="failed", reason="no kernel")}),
    ]
    command.prune(report)
    assert [(row.name, list(row.measurements)) for row in report.rows] == [
        ("done", ["step"]),
        ("failed", ["step"]),
    ]


def test_a_run_in_which_all_failed_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(report: Report, tell: command.Tell) -> None:
        where = {"model": "LDM-1", "f": 1, "width": 256, "height": 256, "batch": 1}
        report.rows.append(Row("LDM-1", where, {"step": Measurement(status="failed", reason="no kernel")}))

    args = argparse.Namespace(out=tmp_path / "run.json", report=False, json=False, quiet=True)
    assert command.conduct(args, "latent-vs-pixel", {}, measure, derive) == 1
    captured = capsys.readouterr()
    assert "no kernel" in captured.out
    assert "nothing could be measured" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latent-vs-pixel", "--size", "100x100"], "expected a multiple of 32"),
        (["latent-vs-pixel", "--model", "3"], "invalid choice: 3"),
        (["latent-vs-pixel", "--rounds", "0"], "--rounds"),
        (["latent-vs-pixel", "--scratch", "no-such-folder"], "no-such-folder"),
        (["latent-vs-pixel", "--out", "no-such-folder/run.json"], "no-such-folder"),
        (["render", "no-such-file.json"], "no-such-file.json"),
        (["tea"], "invalid choice: 'tea'"),
        ([], "BENCHMARK"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("benchmark", ["latent-vs-pixel", "model", "peers", "render"])
def test_help_has_examples(benchmark: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", benchmark, "--help"]) == 0
    assert f"latentrt bench {benchmark}" in capsys.readouterr().out


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where `pip install latentrt` was all: each of the extra's packages is looked for in vain."""
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'psutil': raise ModuleNotFoundError(name='psutil')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import importlib.util; real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'psutil' else real(name, *a)\n"
        "from latentrt.cli.main import main\n"
        "sys.exit(main(['bench', 'latent-vs-pixel', '--quick']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'latentrt[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_small_run_of_the_paper_s_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing, on pictures of 32x32: LDM-1 and LDM-32, their MACs, latents and parameters in the report."""
    monkeypatch.setattr(latent_vs_pixel, "QUICK_MODELS", [1, 32])
    out = tmp_path / "run.json"
    arguments = ["--quick", "--size", "32x32", "--rounds", "1", "--device", "cpu", "--quiet", "--json"]
    assert main(["bench", "latent-vs-pixel", *arguments, "--out", str(out)]) == 0
    report = read_report(out)
    rows = {row.name: row for row in report.rows}
    assert json.loads(out.read_text())["schema"] == "latentrt-bench/1"
    assert rows["LDM-1 32x32"].facts["parameters"] == 270_458_115
    assert rows["LDM-32 32x32"].facts["latent"] == [32, 1, 1]
    assert set(rows["LDM-1 32x32"].measurements) == {"step"}
    assert set(rows["LDM-32 32x32"].measurements) == {"step", "decode"}
    for row in (rows["LDM-1 32x32"], rows["LDM-32 32x32"]):
        for measurement in row.measurements.values():
            assert measurement.status == "measured"
            assert measurement.peak_rss_bytes is None or measurement.peak_rss_bytes > 10**8
    pixels = next(row for row in report.rows if row.configuration.get("on") == "pixels")
    step = pixels.measurements["step"]
    assert step.status == "predicted"
    assert step.macs == pytest.approx(272.6e12, rel=1e-3)
    rate = rows["LDM-1 32x32"].measurements["step"].macs_per_second
    assert rate is not None
    assert step.predicted_s == pytest.approx(step.macs / rate)
    assert report.derived["quality"]["measured"]["psnr_db"] == pytest.approx(35.8, abs=0.3)
    (ceilings,) = report.ceilings.values() if report.ceilings else ()
    products = [rates for name, rates in ceilings["detail"].items() if name.startswith(("matmul", "conv"))]
    # Not beside the rate: another program may come between.
    assert ceilings["macs_per_s"] == max(map(max, products))
