"""How good the debugging rules are: false alarms on healthy runs, and faults found by the right rule at the right step.

Trains small networks on generated data, healthy ones of all kinds and ones with a known fault, and evaluates each with
both parameter sets. Other seeds give other data, weights and orders; `--drawn` adds healthy runs with everything
drawn at random.

    python benchmarks/rule_battery.py [--seed 0] [--drawn 40] [--verbose]
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

import battery_drawn
import battery_faulty
import battery_healthy
from training_scripts import rules
from training_scripts.recording.trial.trial import TRAIN, MemoryTrial

NEAR_STEPS, NEAR_SHARE = 15, 0.15
"""A fault counts as found in time within this many steps, or within this share of the run where that is more."""


@dataclass
class Score:
    """What one parameter set did.

    Attributes:
        healthy: Healthy runs evaluated.
        alarmed: Names of those with a finding, and the rules that gave it.
        faulty: Faulty runs evaluated.
        missed: Names of those that no right rule found.
        elsewhere: Names of those that the right rule found at the wrong step.
        by_rule: False alarms by rule.
    """

    healthy: int = 0
    alarmed: dict[str, list[str]] = field(default_factory=dict)
    faulty: int = 0
    missed: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    by_rule: Counter[str] = field(default_factory=Counter)


def findings(trial: MemoryTrial, parameters: str) -> dict[str, rules.RuleResult]:
    """The debugging rules that found something or failed, by name."""
    names = rules.names("debugging")
    results = rules.evaluate(trial=trial, parameters=parameters, only=names)
    return {result.name: result for result in results if result.status in (rules.ISSUES_FOUND, rules.ERROR)}


def score_healthy(score: Score, name: str, trial: MemoryTrial, parameters: str) -> None:
    """Books a healthy run."""
    found = findings(trial, parameters)
    score.healthy += 1
    if found:
        score.alarmed[name] = list(found)
        score.by_rule.update(list(found))


def score_faulty(score: Score, fault: battery_faulty.Fault, trial: MemoryTrial, parameters: str) -> None:
    """Books a faulty run."""
    found = findings(trial, parameters)
    score.faulty += 1
    right = [found[name] for name in fault.rules if name in found and found[name].status == rules.ISSUES_FOUND]
    if not right:
        score.missed.append(fault.name)
    elif fault.begins is not None and not any(near(result, fault.begins, trial) for result in right):
        score.elsewhere.append(fault.name)


def near(result: rules.RuleResult, begins: int, trial: MemoryTrial) -> bool:
    """Whether one of a rule's findings begins about where the fault does."""
    steps = trial.steps(TRAIN).steps
    tolerance = max(NEAR_STEPS, NEAR_SHARE * len(steps))
    first = [finding.steps[0] for finding in result.findings if finding.steps and finding.mode in (TRAIN, "")]
    return any(abs(step - begins) <= tolerance for step in first)


def runs(seed: int, drawn: int) -> Iterator[tuple[str, Callable[[], MemoryTrial]]]:
    """The healthy runs."""
    yield from battery_healthy.cases(seed)
    for number in range(drawn):
        yield f"drawn {number}", lambda number=number: battery_drawn.drawn(10_000 * seed + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the battery and prints both rates for both parameter sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drawn", type=int, default=40, help="further healthy runs, drawn at random (default: 40)")
    parser.add_argument("--verbose", action="store_true", help="name every run that was misjudged")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # networks this small only lose by sharing work
    warnings.simplefilter("ignore", RuntimeWarning)  # diverging runs overflow, as they should
    begin = time.perf_counter()
    scores = {parameters: Score() for parameters in rules.PARAMETER_SETS}
    for name, make in runs(options.seed, options.drawn):
        trial = make()
        for parameters, score in scores.items():
            score_healthy(score, name, trial, parameters)
    for fault in battery_faulty.faults(options.seed):
        trial = fault.make()
        for parameters, score in scores.items():
            score_faulty(score, fault, trial, parameters)
    for parameters, score in scores.items():
        show(parameters, score, verbose=options.verbose)
    sys.stdout.write(f"{time.perf_counter() - begin:.0f} s, seed {options.seed}\n")
    return 1 if scores["default"].alarmed or scores["default"].missed else 0


def show(parameters: str, score: Score, *, verbose: bool) -> None:
    """Prints a score."""
    found = score.faulty - len(score.missed)
    lines = [
        f"{parameters}:",
        f"  healthy runs with a finding   {len(score.alarmed):3} of {score.healthy}",
        f"  faults found by a right rule  {found:3} of {score.faulty}",
        f"  ... at about the right step   {found - len(score.elsewhere):3} of {score.faulty}",
    ]
    if score.by_rule:
        lines.append("  false alarms: " + ", ".join(f"{name} {count}" for name, count in score.by_rule.most_common()))
    if verbose:
        lines += [f"  alarm on {name}: {', '.join(names)}" for name, names in score.alarmed.items()]
        lines += [f"  missed {name}" for name in score.missed]
        lines += [f"  other step: {name}" for name in score.elsewhere]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
