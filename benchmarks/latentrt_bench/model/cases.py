"""The configurations of `bench model`: each one's row, its work counted, and how all of them are measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from latentrt.engine.memory import Call, peak
from latentrt.engine.session import find_parameter
from latentrt.errors import ModelError
from latentrt.models.model import Model
from latentrt.networks.cost.macs import cost
from latentrt.painting.request import Request
from latentrt_bench.command import Tell
from latentrt_bench.limits.ceilings import add_ceilings
from latentrt_bench.measuring.energy import EnergyMeter
from latentrt_bench.measuring.memory import BASE_BYTES
from latentrt_bench.measuring.process import Job
from latentrt_bench.measuring.rounds import Task, run_rounds
from latentrt_bench.model.configuration import Configuration, request_of
from latentrt_bench.model.derive import COLD, PICTURE, WARM, derive_row, picture_calls, picture_parts
from latentrt_bench.model.loads import LoadTask, run_loads
from latentrt_bench.model.stages import Work, unet_stage, work
from latentrt_bench.report import Measurement, Report, Row

PATIENCE = 10  # a picture that takes so many times what its stages do is given up


@dataclass
class Case:
    """One configuration: its row, and what is to be run for it.

    Attributes:
        configuration: as it goes to workers.
        row: where the figures go.
        work: of each stage.
        samplers: what pictures are painted with; None stands for the model's own, by the name in the row.
        memory: bytes that each stage's worker takes at about the most.
        loaded: the stage whose sizes each network is loaded for.
        painting: of these, those of a picture.
    """

    configuration: Configuration
    row: Row
    work: dict[str, Work]
    samplers: dict[str, str | None]
    memory: dict[str, int] = field(default_factory=dict)
    loaded: tuple[str, ...] = ()
    painting: tuple[str, ...] = ()


def make_case(c: Configuration, samplers: Sequence[str | None]) -> Case:
    """Check a configuration and count its work; nothing is run.

    Raises:
        InputError: a size or sampler cannot be had with this model.
        WeightsError: a tensor is missing, or has another shape.
    """
    pipeline = c.load()
    configuration = asdict(c) | {"provider": c.device}
    del configuration["model"], configuration["device"], configuration["parts"]
    case = Case(c, Row(c.name, configuration), work(pipeline, c), {})
    facts = case.row.facts
    calls: dict[str, Call] = {}
    facts |= {"dtypes": {}, "runs": {}, "evaluations": {}, "picture_stages": {}, "file_cache": {}}
    for stage, one in case.work.items():
        runner = pipeline.runners[one.component]
        graph = runner.component.graph(runner.variant())
        for parameter in graph.parameters:  # a model that lacks any is refused now, not after minutes
            find_parameter(one.component, parameter, runner.component.weights)
        facts["dtypes"][stage], facts["runs"][stage] = runner.dtype, one.times
        measurement = case.row.measurements[stage] = Measurement()
        counted = cost(graph, one.shapes)
        measurement.macs = counted.macs * one.times
        measurement.bytes_moved = counted.bytes_moved * one.times
        measurement.bytes_least = counted.least_bytes * one.times
        calls[stage] = Call(pipeline.networks.runners[one.component], one.shapes)
        case.memory[stage] = _memory([calls[stage]], c)
    case.loaded = _loaded_stages(case, unet_stage(pipeline.model, c))
    first = _request(pipeline.model, c, samplers[0])
    encodes = first is not None and first.pixels is not None
    case.painting = tuple(stage for stage in case.loaded if encodes or stage != "vae_encoder")
    facts |= {"unet": unet_stage(pipeline.model, c), "text_encoders": list(pipeline.model.text_encoders)}
    if first is not None:
        facts["encodes"] = _encodes(first) / c.batch
    case.memory["picture"] = _memory([calls[stage] for stage in case.painting], c)
    for given in samplers:
        try:
            request = request_of(pipeline.model, c, given)
        except ModelError as error:  # its stages can be measured, not its pictures
            name = "the model's own" if given is None else given
            case.row.measurements[f"{PICTURE}{name}"] = Measurement("failed", reason=str(error))
            continue
        name = request.sampler.label if given is None else given
        case.samplers[name] = given
        case.row.measurements[f"{PICTURE}{name}"] = Measurement()
        facts["evaluations"][name] = len(request.guidance.scales)
        times_of = picture_calls(case.row, name)
        macs = (times * (case.row.measurements[stage].macs or 0) for stage, times in times_of.items())
        case.row.measurements[f"{PICTURE}{name}"].macs = round(sum(macs))
    return case


def _loaded_stages(case: Case, unet: str) -> tuple[str, ...]:
    """A stage for each network, in the order of a picture."""
    return tuple(stage for stage, work in case.work.items() if work.component != "unet" or stage == unet)


def _request(model: Model, c: Configuration, sampler: str | None) -> Request | None:
    """What a picture is asked with; None where none can be painted."""
    try:
        return request_of(model, c, sampler)
    except ModelError:
        return None


def _encodes(request: Request) -> int:
    """How many pictures are encoded for a run."""
    shown = request.inpainting is not None and request.masked_unet
    begun = request.pixels is not None and not (request.masked_unet and request.from_noise)
    return shown + begun


def _memory(calls: Sequence[Call], c: Configuration) -> int:
    """What a worker takes of the system's memory that loads and runs these networks one after the other."""
    return int(BASE_BYTES) + peak(calls, c.low_memory).total


def measure_cases(
    report: Report, cases: Sequence[Case], rounds: int, load_rounds: int, longest_s: float, tell: Tell
) -> None:
    """Measure all: the machine's limits, loading, stages, pictures, the limits again.

    Rows and warnings go into the report as they come.

    Args:
        report: what to fill.
        cases: in the order of the rows.
        rounds: of stages and pictures.
        load_rounds: of loading.
        longest_s: a picture that would take longer is not painted but predicted from its stages; infinity: all are
            painted, even where a stage failed.
        tell: is told what is being done.
    """
    report.rows += [case.row for case in cases]
    limits = {
        (row.configuration["provider"], dtype)
        for row in report.rows
        for dtype in row.facts["dtypes"].values()
    }
    add_ceilings(report, limits, tell)
    run_loads(_load_tasks(cases), load_rounds, tell)
    _tell_load_times(cases)
    meter = EnergyMeter(gpu=any(case.configuration.device == "cuda" for case in cases))
    tasks = [_stage_task(case, stage) for case in cases for stage in case.work]
    outcome = run_rounds(tasks, rounds, tell=tell, meter=meter)
    report.warnings += outcome.warnings
    tasks = [
        _picture_task(case, sampler)
        for case in cases
        for sampler in case.samplers
        if _is_painted(case.row, sampler, longest_s)
    ]
    outcome = run_rounds(tasks, rounds, warmups=0, tell=tell, meter=meter)
    report.warnings += outcome.warnings
    add_ceilings(report, limits, tell)
    report.warnings += _beyond_limits(report)


def _beyond_limits(report: Report) -> Iterator[str]:
    """Warnings of what was faster than the limit, which then was measured while the machine was busier."""
    for row in report.rows:
        for point in derive_row(row, report.ceilings or {})["roofline"]:
            if point["fraction"] > 1:
                yield (
                    f"{row.name} {point['what']}: reached {point['fraction']:.0%} of the limit, so that the limit was "
                    "measured too low: the machine was busier then"
                )


def _loaded(cases: Sequence[Case]) -> dict[tuple[str, str], Case]:
    """Whose loading is measured: it hardly depends on sizes, so the first of each provider and type."""
    first: dict[tuple[str, str], Case] = {}
    for case in cases:
        first.setdefault((case.configuration.device, case.configuration.dtype), case)
    return first


def _load_tasks(cases: Sequence[Case]) -> list[LoadTask]:
    tasks = []
    for case in _loaded(cases).values():
        c = case.configuration
        for stage in case.loaded:
            for cache in (COLD, WARM):
                name = f"{cache}{case.work[stage].component}"
                measurement = case.row.measurements[name] = Measurement()
                task = LoadTask(cache, stage, c, measurement)
                case.row.facts["file_cache"][name] = task.proofs
                tasks.append(task)
    return tasks


def _tell_load_times(cases: Sequence[Case]) -> None:
    """Into each row with `low_memory`: seconds that a picture takes to load its networks, the files being cached."""
    for case in cases:
        c = case.configuration
        if c.low_memory:
            measured = _loaded(cases)[c.device, c.dtype].row.measurements
            loads = [measured[f"{WARM}{case.work[stage].component}"].seconds for stage in case.painting]
            known = [seconds for seconds in loads if seconds is not None]
            if len(known) == len(loads):
                case.row.facts["load_s"] = sum(known)


def _stage_task(case: Case, stage: str) -> Task:
    arguments = {"stage": stage, "configuration": asdict(case.configuration)}
    job = Job("latentrt_bench.model.stages:Stage", arguments)
    measurement = case.row.measurements[stage]
    return Task(f"{case.row.name} {stage}", job, measurement, needs_bytes=case.memory.get(stage, 0))


def _picture_task(case: Case, sampler: str) -> Task:
    arguments = {"sampler": case.samplers[sampler], "configuration": asdict(case.configuration)}
    expected = sum((picture_parts(case.row, sampler) or {}).values())
    limit_s = max(Job.limit_s, PATIENCE * expected)
    task = Task(
        f"{case.row.name} {PICTURE}{sampler}",
        Job("latentrt_bench.model.stages:Picture", arguments, limit_s=limit_s),
        case.row.measurements[f"{PICTURE}{sampler}"],
        needs_bytes=case.memory.get("picture", 0),
    )
    case.row.facts["picture_stages"][sampler] = task.results
    return task


def _is_painted(row: Row, sampler: str, longest_s: float) -> bool:
    """Whether the picture takes at most so long, by the seconds of its stages; else its measurement is settled here."""
    measurement, parts = row.measurements[f"{PICTURE}{sampler}"], picture_parts(row, sampler)
    if longest_s == math.inf:
        return True
    if parts is None:
        measurement.status = "failed"
        measurement.reason = "not painted: a stage failed, so that it is not known how long a picture takes"
    elif sum(parts.values()) > longest_s:
        measurement.status = "predicted"
        measurement.predicted_s = sum(parts.values())
        evaluations = row.facts["evaluations"][sampler]
        measurement.reason = (
            f"the text encoders, {evaluations} evaluations of the UNet and one decode, as measured here"
        )
    return measurement.status == "measured"
