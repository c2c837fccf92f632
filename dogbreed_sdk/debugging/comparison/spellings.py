"""One column for each parameter, whatever runs call it: lr, base_lr, and the recorded learning rate are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from training_scripts.rules.own_words import known_as, plain_name

# These are other things as often: the step size of a schedule, the peak of a cycle.
_AMBIGUOUS = frozenset({"maxlr", "stepsize", "eta"})
# Before a name that is spelled like a known parameter, but means something else in its run.
_OTHER = "other "


def meaning(name: str) -> str:
    """What runs must have in common for their parameters to share a column."""
    return known_as(name) or plain_name(name)


def by_meaning(given: Iterable[str], values: Mapping[str, object], facts: Mapping[str, object]) -> dict[str, str]:
    """The parameters' own names by what they mean.

    Of several names with the same meaning, the one with the recorded value is chosen, else the first; the others keep
    separate columns.

    Args:
        given: The run's own names.
        values: Their values.
        facts: The recorded value of the learning rate, the batch size and others, by meaning.
    """
    names = list(given)
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: not _is_same(values[name], facts.get(meaning(name)))):
        key = meaning(name)
        recorded = _is_same(values[name], facts.get(key))
        taken = key in found or (plain_name(name) in _AMBIGUOUS and not recorded)
        found[f"{_OTHER}{name}" if taken else key] = name
    return {key: name for name in names for key, own in found.items() if own == name}


def columns(runs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The name of each meaning's column: the first own name that no column of another meaning has.

    Args:
        runs: The results of `by_meaning`, and the recorded facts that a run has no name for.
    """
    spelled: dict[str, list[str]] = {}
    for run in runs:
        for key, name in run.items():
            spelled.setdefault(key, []).append(name)
    others = {key.removeprefix(_OTHER) for key in spelled if key.startswith(_OTHER)}
    return {
        key: key.removeprefix(_OTHER)
        if key.startswith(_OTHER)
        else next((name for name in names if name not in others), key if key not in others else f"{names[0]} (main)")
        for key, names in spelled.items()
    }


def _is_same(value: object, recorded: object) -> bool:
    try:
        return recorded is not None and float(str(value)) == float(str(recorded))
    except ValueError:
        return False
