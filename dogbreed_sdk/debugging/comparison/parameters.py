"""Where the parameters of runs differ, and which runs are repeats of each other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dogbreed_sdk.debugging.comparison import defects
from dogbreed_sdk.debugging.comparison.runs import ComparedRun
from training_scripts._util.number_text import number_text
from training_scripts.training.parameters import write

MISSING = "—"
# What runs have that do not say otherwise.
_USUAL = {"processes": "1", "accumulation": "1"}
# Runs that differ in these alone are repeats: what remains is chance.
_SEED = re.compile(r"(^|[_\- ])(random[_\- ]?(seed|state)|seed)$", re.IGNORECASE)
# Names under which loops keep where and when they ran.
_PLACES = re.compile(
    r"(^|[_\- ])(output|out|log|save|checkpoint|run|exp|experiment)[_\- ]?(dir|path|folder|name|id)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Setting:
    """Runs with the same parameters, but for seeds and recording: repeats of each other.

    Attributes:
        values: The value of each parameter in which the comparison's runs differ, as text.
        runs: The runs.
    """

    values: Mapping[str, str]
    runs: tuple[ComparedRun, ...]

    def differing(self, other: Setting) -> list[str]:
        """The parameters in which two settings differ."""
        return [name for name in self.values if self.values[name] != other.values[name]]

    def unknown(self, other: Setting) -> list[str]:
        """The parameters that only one of two settings has recorded: whether they differ is not known."""
        return [name for name in self.differing(other) if MISSING in (self.values[name], other.values[name])]


def text(value: object) -> str:
    """A parameter's value for people, by which values are also compared: 1e-3, "0.001" and 0.001 are the same.

    >>> text(0.001), text("1e-3"), text(True), text([512, 256])
    ('0.001', '0.001', 'true', '512,256')
    """
    written = write(value).strip()
    try:
        return str(number_text(float(written), 6)) if written[-1:].isalnum() else written
    except ValueError:
        return written or "none"


def differing(runs: Sequence[ComparedRun]) -> list[str]:
    """The names of the parameters whose values differ between runs, in the order of the runs' own lists."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    return [name for name in names if len({value_of(run, name) for run in runs}) > 1]


def shared(runs: Sequence[ComparedRun]) -> dict[str, str]:
    """The parameters with the same value in all runs."""
    apart = set(differing(runs))
    return {name: value_of(runs[0], name) for name in runs[0].parameters if name not in apart} if runs else {}


def value_of(run: ComparedRun, name: str) -> str:
    """A run's value of a parameter, or a dash."""
    return text(run.parameters[name]) if name in run.parameters else _USUAL.get(name, MISSING)


def is_chance(runs: Sequence[ComparedRun], name: str) -> bool:
    """Whether a parameter leaves the training as it is, but for chance: a seed, a place, or an option of recording."""
    return bool(_SEED.search(name) or _PLACES.search(name) or any(name in run.neutral for run in runs))


def seeds_of(run: ComparedRun) -> tuple[str, ...]:
    """A run's seeds, in the order of their names; empty if it has none."""
    return tuple(value_of(run, name) for name in sorted(run.parameters) if _SEED.search(name))


def settings(runs: Sequence[ComparedRun]) -> list[Setting]:
    """The runs grouped by the parameters that matter, in the order of the runs."""
    names = [name for name in differing(runs) if not is_chance(runs, name)]
    groups: dict[tuple[tuple[str, ...], str], list[ComparedRun]] = {}
    for run in runs:
        values = tuple(value_of(run, name) for name in names)
        # A run with a mistake in its loop does not repeat one without.
        groups.setdefault((values, defects.of(run.verdict.cause)), []).append(run)
    return [Setting(dict(zip(names, values, strict=True)), tuple(runs)) for (values, _), runs in groups.items()]
