"""Finds the parts of a recording in a folder: tensors, profile, AWS's profiler report, the rules' answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dogbreed_sdk.errors import RecordingError
from dogbreed_sdk.jobs.managed_debugger import PROFILER_REPORT, PROFILER_RULES

# What computing features cost, beside them; `training_scripts.features.store` writes it.
COST_FILE = "feature_pass.json"
# The names of AWS's profiler report: one JSON file a rule.
REPORT_RULES = frozenset(PROFILER_RULES) - {PROFILER_REPORT}
_OUTPUTS = frozenset({"debug-output", "profiler-output", "rule-output"})
# rule-output/ProfilerReport-1/profiler-output/profiler-reports lies four folders down, in a copy of a bucket five.
MAX_DEPTH = 6
# A recording's own folders are few; whoever points at a home folder gets an answer all the same.
MAX_FOLDERS = 5_000
LOOKED_FOR = (
    "debug-output (or a trial's own index, events and collections), profiler-output (system, framework), "
    "rule-output (rules.json), or the JSON files of AWS's profiler report (OverallSystemUsage.json, ...)"
)


@dataclass(frozen=True)
class Parts:
    """Where the parts of a recording lie; None for a part that is not there.

    Attributes:
        trial: The tensors: a folder in smdebug's format.
        profile: The profiler's samples: a folder with system or framework in it.
        report: AWS's profiler report: a folder of JSON files.
        rules: What the job's own rules said: rules.json.
        features: What computing features cost: feature_pass.json.
    """

    trial: Path | None = None
    profile: Path | None = None
    report: Path | None = None
    rules: Path | None = None
    features: Path | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def or_else(self, other: Parts) -> Parts:
        """These parts, and the other's where these lack one."""
        lacking = {field.name for field in fields(self) if getattr(self, field.name) is None}
        return replace(self, **{name: getattr(other, name) for name in lacking})


@dataclass(frozen=True)
class Recording:
    """A recorded run, found but not yet read.

    Attributes:
        source: What to call it: the job's name, the folder or the URI.
        parts: Where it lies on this machine.
        problems: A sentence for everything that was left out.
        job: DescribeTrainingJob's answer where the source is a job; empty otherwise.
    """

    source: str
    parts: Parts
    problems: tuple[str, ...] = ()
    job: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether the source is a job that has not ended."""
        return self.job.get("TrainingJobStatus") in ("InProgress", "Stopping")


def find(folder: Path) -> Parts:
    """The parts of the one recording in a folder, whichever of its folders was named; all None where there is none.

    Raises:
        RecordingError: The folder holds several recordings.
    """
    recordings: dict[Path, dict[str, list[Path]]] = {}
    for kind, path in _recognised(folder):
        recordings.setdefault(_root(folder, path), {}).setdefault(kind, []).append(path)
    if len(recordings) > 1:
        names = ", ".join(str(root.relative_to(folder)) for root in sorted(recordings)[:8])
        raise RecordingError(f"{folder} holds {len(recordings)} recordings: {names}. Name one of these folders.")
    parts = [Parts(**{kind: _newest(paths) for kind, paths in found.items()}) for found in recordings.values()]
    return _with_features(folder, parts[0] if parts else Parts())


def _with_features(folder: Path, parts: Parts) -> Parts:
    """The parts with what computing features cost, where the folder is that of features, or its profile."""
    places = [folder, *([parts.profile.parent] if parts.profile is not None else [])]
    found = next((path for place in places if (path := place / COST_FILE).is_file()), None)
    return replace(parts, features=found)


def _root(folder: Path, part: Path) -> Path:
    """The folder of the recording that a part belongs to: above debug-output, profiler-output or rule-output."""
    inside = part.relative_to(folder).parts
    places = [index for index, name in enumerate(inside) if name in _OUTPUTS]
    if places:
        return folder.joinpath(*inside[: places[0]])
    return folder if part.is_file() else part


def _recognised(folder: Path) -> Iterator[tuple[str, Path]]:
    """What the folders below say they are, nearest first; nothing is looked for inside a part."""
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
    except OSError:  # not there, or not ours to read
        return []


def _newest(paths: list[Path]) -> Path:
    """The nearest, and of several the last: AWS numbers its reports by the time of their making."""
    return max(paths, key=lambda path: (-len(path.parts), str(path)))
