"""Reads profiles: samples and traces of our profiler or Debugger's, or the files of AWS's profiler report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from training_scripts.recording.profile.aws_report import find_reports, read_reports
from training_scripts.recording.profile.files import Problems, Reader, number, short
from training_scripts.recording.profile.profile import (
    CPU,
    EVAL_STEP,
    GPU,
    PREDICT_STEP,
    TRAIN_STEP,
    Metric,
    Operator,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.profile.summary import phase_statistics, usage_statistics
from training_scripts.recording.profile.system import read_system
from training_scripts.recording.profile.traces import Traces, read_traces
from training_scripts.recording.profiler.files import read_own
from training_scripts.recording.trial.trial import RecordingError

MOST_OPERATORS = 200
OWN_FILES = "profile_algo-*.json"
# By default, SageMaker trains on at most 100 instances.
MOST_NODES = 1000


def read_profile(folder: Path) -> Profile:
    """Reads a run's profile as far as possible, even while it is being written.

    Args:
        folder: `profiler-output` or the folder that holds it, or one with the JSON files of AWS's profiler report,
            directly in it or in `rule-output/ProfilerReport-*/profiler-output/profiler-reports`. If the folder also
            has samples, rules evaluate those instead: the report then only fills in the operators and step
            statistics that the samples lack.

    Raises:
        RecordingError: The folder contains neither.
    """
    folder = Path(folder)
    reports = find_reports(folder)
    samples = next((place for place in (folder, folder / "profiler-output") if _has_samples(place)), None)
    if samples is None:
        if not reports:
            raise RecordingError(
                f"{folder} contains no profile: it has neither a profiler's system/, framework/ or profile_*.json, "
                f"nor the JSON files of AWS's profiler report. Pass the output folder of the job's profiler."
            )
        return read_reports(reports)
    profile = _read_samples(samples)
    return _completed(profile, read_reports(reports)) if reports else profile


def _completed(profile: Profile, theirs: Profile) -> Profile:
    """Adds to a profile the parts that only AWS's report has."""
    if theirs.operators and not profile.operators:
        profile = replace(profile, operators=theirs.operators, operators_note=theirs.operators_note)
    if not profile.phase_statistics:
        profile = replace(profile, step_statistics=theirs.step_statistics, phase_statistics=theirs.phase_statistics)
    return replace(
        profile,
        facts={**theirs.facts, **profile.facts},
        problems=(*profile.problems, *theirs.problems),
    )


def has_profile(folder: Path) -> bool:
    """Whether the folder contains anything that `read_profile` reads."""
    folder = Path(folder)
    return _has_samples(folder) or _has_samples(folder / "profiler-output") or bool(find_reports(folder))


def _has_samples(folder: Path) -> bool:
    return (
        (folder / "system").is_dir()
        or (folder / "framework").is_dir()
        or next(iter(folder.glob(OWN_FILES)), None) is not None
    )


def _read_samples(folder: Path) -> Profile:
    problems = Problems()
    reader = Reader(problems)
    system = read_system(folder / "system", reader)
    traces = read_traces(folder / "framework", reader)
    phases = traces.spans()
    own = _own_files(folder, problems)
    nodes = tuple(traces.nodes) or tuple(system) or ("algo-1",)
    phase_stats = phase_statistics(phases, nodes)
    operators, note = _operators(own, traces)
    return Profile(
        system=system,
        phases=phases,
        usage=usage_statistics(system),
        step_statistics=tuple(one for one in phase_stats if one.what.startswith("Step:")),
        phase_statistics=phase_stats,
        operators=operators,
        operators_note=note,
        timeline=_timeline(own, system, phases),
        facts=_facts(own, system, traces),
        problems=problems.all(),
        nodes=nodes,
    )


def _own_files(folder: Path, problems: Problems) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = []
    paths = sorted(folder.glob(OWN_FILES))
    if len(paths) > MOST_NODES:
        problems.add(f"{folder} has more than {MOST_NODES} files {OWN_FILES}; only the first were read.")
    for path in paths[:MOST_NODES]:
        content = read_own(path)
        if content is None:
            problems.add(f"{path} cannot be read: it is damaged, or another version wrote it in another format.")
        else:
            found.append(content)
    return found


def _timeline(
    own: list[Mapping[str, object]], system: Mapping[str, Mapping[str, Metric]], phases: Mapping[str, Spans]
) -> Timeline:
    """The timeline that the profiler wrote; missing times are taken from the samples and steps."""
    lives = [life for content in own for life in _list(content.get("lives")) if isinstance(life, Mapping)]
    noted = {
        key: [value for life in lives if (value := number(life.get(key))) is not None]
        for key in ("begin", "training", "trained", "end")
    }
    steps = [phases[name] for name in (TRAIN_STEP, EVAL_STEP, PREDICT_STEP, "Step:ModeKeys.GLOBAL") if name in phases]
    samples = [metric.times for metrics in system.values() for metric in metrics.values() if len(metric.times)]
    first_step = min((float(spans.begins[0]) for spans in steps), default=None)
    last_step = max((float((spans.begins + spans.seconds).max()) for spans in steps), default=None)
    begins = [float(times[0]) for times in samples] + ([first_step] if first_step is not None else [])
    ends = [float(times[-1]) for times in samples] + ([last_step] if last_step is not None else [])
    end, trained = max(ends, default=None), last_step
    if lives and "end" in lives[-1]:  # steps after training evaluate the model
        end, trained = max(noted["end"], default=end), max(noted["trained"], default=last_step)
    elif lives:  # it is still running, or it was killed
        end = None
    return Timeline(
        min(noted["begin"] or begins, default=None), min(noted["training"], default=first_step), trained, end
    )


def _facts(
    own: list[Mapping[str, object]], system: Mapping[str, Mapping[str, Metric]], traces: Traces
) -> dict[str, object]:
    facts: dict[str, object] = {}
    for metric, name in ((CPU, "cores"), (GPU, "gpus")):
        found = [metrics[metric] for metrics in system.values() if metric in metrics]
        if found or system:
            facts[name] = max((max(1, len(one.devices)) for one in found), default=0)
    facts |= traces.facts
    for content in reversed(own):
        given = content.get("facts")
        facts |= {short(key): value for key, value in given.items()} if isinstance(given, Mapping) else {}
        facts |= {key: content[key] for key in ("steps", "kept_one_in") if isinstance(content.get(key), Mapping)}
    return facts


def _operators(own: list[Mapping[str, object]], traces: Traces) -> tuple[tuple[Operator, ...], str]:
    """The operators, those of several nodes added up, and what to know about them."""
    found: dict[str, Operator] = {}
    for content in own:
        rows = [row for row in _list(content.get("operators"))[:MOST_OPERATORS] if isinstance(row, Mapping)]
        for row in rows:
            cpu, gpu, calls = (number(row.get(key)) for key in ("cpu_seconds", "gpu_seconds", "calls"))
            if cpu is not None:
                name = short(row.get("name"))
                so_far = found.get(name, Operator(name, 0, 0.0))
                found[name] = Operator(
                    name,
                    so_far.calls + int(calls or 0),
                    so_far.cpu_seconds + cpu,
                    so_far.gpu_seconds + (gpu or 0.0),
                )
    if found:
        return tuple(sorted(found.values(), key=lambda one: -(one.cpu_seconds + one.gpu_seconds))), ""
    if traces.operators:
        note = "Times include the operators that each one calls, so they add up to more than the total."
        return traces.most_expensive()[:MOST_OPERATORS], note
    notes = [short(content.get("operators_note") or "") for content in own]
    return (), next((note for note in notes if note), "No operators were recorded.")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
