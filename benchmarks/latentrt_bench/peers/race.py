"""The peers in turns. Memory does not hold all of them at once, so that each turn is a process from start to end:
import, load, first picture, more pictures. A round is one turn of each.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from latentrt.errors import LatentrtError
from latentrt.noise import TorchGenerator
from latentrt_bench.measuring.process import Job, Process, WorkerError
from latentrt_bench.peers.catalogue import ENVIRONMENTS, MATERIALS, PEERS, Environment, Material, Peer
from latentrt_bench.peers.environment import Made, PreparationError, make_environment, normalized
from latentrt_bench.peers.materials import make_checkpoint, make_descriptions, make_material
from latentrt_bench.peers.pictures import difference, read_picture
from latentrt_bench.report import Measurement, Report, Row

RUNNERS = Path(__file__).with_name("runners")
WHAT = ("first_picture", "picture", "step")
T = TypeVar("T")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Catalogue:
    """Who there is and what they need."""

    peers: Mapping[str, Peer] = field(default_factory=lambda: PEERS)
    environments: Mapping[str, Environment] = field(default_factory=lambda: ENVIRONMENTS)
    materials: Mapping[str, Material] = field(default_factory=lambda: MATERIALS)
    runners: Path = RUNNERS


@dataclass
class Racer:
    """A peer that is ready: its row, what its process loads, where it puts its picture, and what its turns took."""

    row: Row
    job: Job
    picture: Path
    seconds: float = 0.0


def prepare(
    report: Report,
    names: Sequence[str],
    source: Path,
    folder: Path,
    scratch: Path,
    work: Mapping[str, Any],
    limit_s: float,
    tell: Tell,
    catalogue: Catalogue,
) -> list[Racer]:
    """Make the environments and exports; a peer for which that fails has a row that says why.

    Args:
        report: gets a row for each peer.
        names: of the peers.
        source: the folder or file of the model.
        folder: where environments and exports are kept.
        scratch: a folder for this run: latents, pictures, caches.
        work: prompt, steps, guidance, width, height, seed, prediction, whether it is an xl model, channels and factor
            of the latents, cores.
        limit_s: seconds after which loading, or a picture, is given up.
        tell: is told what is being done.
        catalogue: who there is.
    """
    own = source if source.is_file() else make_checkpoint(source, folder)
    described = {"descriptions": str(make_descriptions(source, folder))} if source.is_file() else {}
    shape = (1, work["latent_channels"], work["height"] // work["factor"], work["width"] // work["factor"])
    np.save(scratch / "latents.npy", TorchGenerator(work["seed"]).randn(shape))
    ready: list[Racer] = []
    failures: dict[str, str] = {}  # what failed once is not tried for each peer that needs it

    def environment(name: str) -> Made:
        tell(f"install {name}: {', '.join(catalogue.environments[name].requirements)}")
        return _once(failures, f"environment {name}", lambda: make_environment(
            name, catalogue.environments[name], folder / "environments"
        ))  # fmt: skip

    def material(name: str) -> tuple[Path, dict[str, str]]:
        exporter = catalogue.materials[name]
        made = environment(exporter.environment)
        if source.is_file():
            tell("write a diffusers folder of the file, for those who cannot read that")
        checkpoint = _once(failures, "diffusers folder", lambda: make_checkpoint(source, folder))
        tell(f"make the {name}")
        path = _once(failures, f"export {name}", lambda: make_material(name, exporter, made, checkpoint))
        return path, _versions(catalogue.environments[exporter.environment], made)

    for index, name in enumerate(names):
        peer = catalogue.peers[name]
        row = Row(name, {k: work[k] for k in ("width", "height", "steps", "guidance")}, {}, dict(peer.facts))
        row.measurements = {what: Measurement() for what in WHAT}
        report.rows.append(row)
        try:
            made = environment(peer.environment)
            row.facts |= _facts(peer, catalogue.environments[peer.environment], made)
            if source.is_file() and peer.material is not None:
                row.facts["converted"] = "a diffusers folder was written of the file first"
            model = own
            if peer.material is not None:
                model, row.facts["exported_by"] = material(peer.material)
        except PreparationError as error:
            _fail(row, str(error))
            continue
        picture = scratch / f"{index}.ppm"
        its_work = {**work, **described, "latents": str(scratch / "latents.npy"), "picture": str(picture)}
        job = Job(
            target=str(catalogue.runners / peer.runner),
            arguments={"model": str(model), "work": its_work, **peer.options},
            python=str(made.python),
            environment={
                "PYTHONNOUSERSITE": "1",
                "PYTHONPATH": "",
                "PYTHONSAFEPATH": "1",  # or the worker's folder would stand before its packages
                "HF_HUB_OFFLINE": "1",
                "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
            },
            limit_s=limit_s,
        )
        ready.append(Racer(row, job, picture))
    return ready


def race(racers: Sequence[Racer], rounds: int, pictures: int, enough_s: float, tell: Tell) -> None:
    """One turn of each that does not count, then `rounds` that do; whoever fails has no further turn.

    Nor has whoever has taken `enough_s` seconds in turns that count.

    Each turn that counts gives one sample of `first_picture`, `pictures` of `picture`, and of `step` those between the
    steps of these.
    """
    alive, racing = list(racers), list(racers)
    try:
        for index in range(rounds + 1):
            for racer in list(racing):
                which = f"round {index} of {rounds}" if index else "a round that does not count"
                tell(f"{which}: {racer.row.name}")
                started = time.perf_counter()
                try:
                    _turn(racer, pictures if index else 0)
                except WorkerError as error:
                    _fail(racer.row, f"out of memory: {error}" if error.out_of_memory else str(error))
                    racing.remove(racer)
                    alive.remove(racer)
                    continue
                if index:
                    racer.seconds += time.perf_counter() - started
                if racer.seconds > enough_s:
                    racing.remove(racer)
    finally:
        _compare([racer for racer in alive if racer.picture.exists()])


def _turn(racer: Racer, pictures: int) -> None:
    measurements = racer.row.measurements
    started = time.perf_counter()
    process = Process(racer.job)
    try:
        answers = [process.call("paint")]
        first = time.perf_counter() - started
        if pictures == 0:
            measurements["first_picture"].warmup.append(first)
            process.call("save")
        else:
            answers += [process.call("paint") for _ in range(pictures)]
            measurements["first_picture"].rounds.append([first])
            measurements["picture"].rounds.append([answer.seconds for answer in answers[1:]])
            steps = [end - start for answer in answers[1:] for start, end in pairwise(answer.result)]
            if steps:  # there is no time between steps where there is but one
                measurements["step"].rounds.append(steps)
        peaks = [answer.peak_rss_bytes for answer in answers if answer.peak_rss_bytes is not None]
        for measurement in measurements.values():
            known = [*peaks, *([] if measurement.peak_rss_bytes is None else [measurement.peak_rss_bytes])]
            measurement.peak_rss_bytes = max(known, default=None)
    finally:
        process.close()


def _compare(racers: Sequence[Racer]) -> None:
    """Hold each picture against the first's."""
    reference: npt.NDArray[np.uint8] | None = None
    for racer in racers:
        try:
            picture = read_picture(racer.picture)
            reference = picture if reference is None else reference
            racer.row.facts["picture"] = difference(picture, reference)
        except (ValueError, OSError) as error:  # of another size, or none
            racer.row.facts["not_compared"] = str(error)


def _once(failures: dict[str, str], what: str, make: Callable[[], T]) -> T:
    if what in failures:
        raise PreparationError(failures[what])
    try:
        return make()
    except (PreparationError, LatentrtError, OSError) as error:
        failures[what] = f"{what}: {error}"
        raise PreparationError(failures[what]) from error


def _facts(peer: Peer, environment: Environment, made: Made) -> dict[str, Any]:
    return {
        "environment": {"name": peer.environment, "requirements": list(environment.requirements)},
        "precision": peer.precision,
        "reads": peer.material or "the checkpoint",
        "versions": _versions(environment, made),
        "packages": made.packages,
        "installed_bytes": made.installed_bytes,
    }


def _versions(environment: Environment, made: Made) -> dict[str, str]:
    """Of what was asked for, as it was installed."""
    asked = [normalized(re.split(r"[=\[ ]", requirement)[0]) for requirement in environment.requirements]
    return {name: made.packages[name] for name in asked if name in made.packages}


def _fail(row: Row, reason: str) -> None:
    for measurement in row.measurements.values():
        measurement.fail(reason)
