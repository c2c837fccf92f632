"""Finds the parts of a recording in a folder: tensors, profile, AWS's profiler report, rule results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dogbreed_sdk.errors import RecordingError
from dogbreed_sdk.jobs.managed_debugger import PROFILER_REPORT, PROFILER_RULES
from training_scripts.features.files import COST_FILE

# The rules of AWS's profiler report: one JSON file per rule.
REPORT_RULES = frozenset(PROFILER_RULES) - {PROFILER_REPORT}
_OUTPUTS = frozenset({"debug-output", "profiler-output", "rule-output"})
# rule-output/ProfilerReport-1/profiler-output/profiler-reports is four folders deep, in a copy of a bucket five.
MAX_DEPTH = 6
# A recording has few folders; a search of a home folder ends here.
MAX_FOLDERS = 5_000
LOOKED_FOR = (
    "debug-output (or a trial's own index, events and collections), profiler-output (system, framework), "
    "rule-output (rules.json), or the JSON files of AWS's profiler report (OverallSystemUsage.json, ...)"
)


@dataclass(frozen=True)
class Parts:
    """The parts of a recording on this machine; None for a missing part.

    Attributes:
        trial: The tensors: a folder in smdebug's format.
        profile: The profiler's samples: a folder with system or framework in it.
        report: AWS's profiler report: a folder of JSON files.
        rules: Results of the job's own rules: rules.json.
        features: The cost of computing features: feature_pass.json.
    """

    trial: Path | None = None
    profile: Path | None = None
    report: Path | None = None
    rules: Path | None = None
    features: Path | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def or_else(self, other: Parts) -> Parts:
        """These parts, completed with the other's."""
        lacking = {field.name for field in fields(self) if getattr(self, field.name) is None}
        return replace(self, **{name: getattr(other, name) for name in lacking})


@dataclass(frozen=True)
class Recording:
    """A recorded run, found but not yet read.

    Attributes:
        source: The job's name, the folder or the URI.
        parts: Its parts on this machine.
        problems: One sentence for each part that was left out.
        job: DescribeTrainingJob's answer where the source is a job; empty otherwise.
        describe: DescribeTrainingJob for a name, where the source is a job.
        data: The data set's folder, if it was given.
    """

    source: str
    parts: Parts
    problems: tuple[str, ...] = ()
    job: Mapping[str, Any] = field(default_factory=dict)
    describe: Callable[[str], Mapping[str, Any]] | None = None
    data: Path | None = None

    @property
    def is_running(self) -> bool:
        """Whether the source is a job that has not ended."""
        return self.job.get("TrainingJobStatus") in ("InProgress", "Stopping")


def find(folder: Path) -> Parts:
    """Finds the parts of the recording in a folder, which may be one of its parts; all None without a recording.

    Raises:
        RecordingError: The folder contains several recordings.
    """
    recordings: dict[Path, dict[str, list[Path]]] = {}
    for kind, path in _recognized(folder):
        recordings.setdefault(_root(folder, path), {}).setdefault(kind, []).append(path)
    if len(recordings) > 1:
        names = ", ".join(str(root.relative_to(folder)) for root in sorted(recordings)[:8])
        raise RecordingError(f"{folder} contains {len(recordings)} recordings: {names}. Pass one of these folders.")
    parts = [Parts(**{kind: _newest(paths) for kind, paths in found.items()}) for found in recordings.values()]
    return _with_features(folder, parts[0] if parts else Parts())


def _with_features(folder: Path, parts: Parts) -> Parts:
    """Adds the cost of computing features, if the folder is one of features, or their profile."""
    places = [folder, *([parts.profile.parent] if parts.profile is not None else [])]
    found = next((path for place in places if (path := place / COST_FILE).is_file()), None)
    return replace(parts, features=found)


def _root(folder: Path, part: Path) -> Path:
    """The folder of a part's recording: the one above debug-output, profiler-output or rule-output."""
    inside = part.relative_to(folder).parts
    places = [index for index, name in enumerate(inside) if name in _OUTPUTS]
    if places:
        return folder.joinpath(*inside[: places[0]])
    return folder if part.is_file() else part


def _recognized(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields kind and path of the parts below a folder, nearest first; does not search inside a part."""
    waiting = deque([(folder, 0)])
    seen = 0
    while waiting and seen < MAX_FOLDERS:
        here, depth = waiting.popleft()
        seen += 1
        kind = _kind(here)
        if kind is not None:
            yield kind, here
        if (here / "rules.json").is_file():
            yield "rules", here / "rules.json"
        if kind is None and depth < MAX_DEPTH:
            waiting.extend((child, depth + 1) for child in _folders(here) if not child.name.startswith("."))


def _kind(folder: Path) -> str | None:
    if (
        (folder / "collections").is_dir()
        or any(child.name.isdigit() for child in _folders(folder / "index"))
        or any(child.name.isdigit() for child in _folders(folder / "events"))
        or (folder / "run.json").is_file()
    ):
        return "trial"
    if (folder / "system" / "incremental").is_dir() or (folder / "framework").is_dir():
        return "profile"
    if any((folder / f"{name}.json").is_file() for name in REPORT_RULES):
        return "report"
    return None


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:  # missing, or not readable
        return []


def _newest(paths: list[Path]) -> Path:
    """The nearest, and of several the last: AWS numbers its reports by time."""
    return max(paths, key=lambda path: (-len(path.parts), str(path)))
