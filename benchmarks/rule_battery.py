"""How good reports are: false alarms and hints on healthy runs, and faults found with their cause.

Trains small networks on generated data: healthy ones of all kinds, recorded as our trainer, smdebug's hook and other
people's loops are, and ones with a known fault. Reads the report of each, and prints four rates:

- healthy runs with a finding: a rule or the verdict calls a healthy run a problem;
- healthy runs with a hint: the report suggests a change to a healthy run;
- faults found: a rule that is right for the fault finds it, or the report calls the run a problem or gives a hint;
- cause right: the report names the cause, alone or among the few that leave the same trace, and how often it is first.

Other seeds give other data, weights, orders and hyperparameters.

    python benchmarks/rule_battery.py [--seed 0] [--seeds 2] [--quick] [--verbose] [--recorded FOLDER ...]
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

import battery.drawn
import battery.faulty
import battery.healthy
import battery.loop_faults
import battery.loops
from battery.causes import is_right
from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.verdict import verdict
from training_scripts import rules
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.trial import TRAIN, MemoryTrial, Trial

NEAR_STEPS, NEAR_SHARE = 15, 0.15
"""A fault counts as found in time within this many steps, or within this share of the run where that is more."""

GOALS = {"finding": 0.01, "hint": 0.10, "found": 0.97, "cause": 0.85}
"""At most the first two, at least the last two."""


@dataclass
class Score:
    """What reports said of the battery's runs.

    Attributes:
        healthy: Healthy runs.
        alarmed: Names of those with a finding, and what gave it.
        hinted: Names of those with a hint or worse, and its topics.
        faulty: Faulty runs.
        missed: Names of those that were not found.
        elsewhere: Names of those that the right rule found at the wrong step.
        blamed: Names of those whose cause was not named, and the causes that were.
        second: Names of those whose cause was named as an alternative to another one.
        of_aws: Healthy runs in which AWS's definitions find something, and faults that they find.
    """

    healthy: int = 0
    alarmed: dict[str, list[str]] = field(default_factory=dict)
    hinted: dict[str, list[str]] = field(default_factory=dict)
    faulty: int = 0
    missed: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    blamed: dict[str, list[str]] = field(default_factory=dict)
    second: list[str] = field(default_factory=list)
    of_aws: Counter[str] = field(default_factory=Counter)

    def rates(self) -> dict[str, tuple[int, int]]:
        """Each of `GOALS`: how many, and of how many."""
        return {
            "finding": (len(self.alarmed), self.healthy),
            "hint": (len(self.hinted), self.healthy),
            "found": (self.faulty - len(self.missed), self.faulty),
            "cause": (self.faulty - len(self.blamed), self.faulty),
        }

    def meets_goals(self) -> bool:
        """Whether every rate is as good as its goal."""
        shares = {name: count / max(of, 1) for name, (count, of) in self.rates().items()}
        low = all(shares[name] <= GOALS[name] for name in ("finding", "hint"))
        return low and all(shares[name] >= GOALS[name] for name in ("found", "cause"))


def report_of(trial: Trial) -> DebugReport:
    """The report of a run, as a reader gets it."""
    return DebugReport("battery", trial=trial)


def findings(results: Sequence[rules.RuleResult]) -> dict[str, rules.RuleResult]:
    """The debugging rules that found something or failed, by name."""
    return {one.name: one for one in results if one.status in (rules.ISSUES_FOUND, rules.ERROR)}


def by_aws(trial: Trial) -> dict[str, rules.RuleResult]:
    """The rules that find something by AWS's definitions."""
    return findings(rules.evaluate(trial=trial, parameters="aws", only=rules.names("debugging")))


def score_healthy(score: Score, name: str, trial: Trial) -> None:
    """Books a healthy run."""
    report = report_of(trial)
    score.healthy += 1
    found = list(findings(report.rules))
    found += [f"failed: {problem}" for problem in report.problems]
    judged = verdict(report)
    if not found and judged.level == "problem":
        found = [judged.headline]
    if found:
        score.alarmed[name] = found
    topics = [f"{one.severity} {one.topic}" for one in report.insights() if one.severity != "info"]
    if topics:
        score.hinted[name] = topics


def score_faulty(score: Score, fault: battery.faulty.Fault, trial: Trial) -> None:
    """Books a faulty run."""
    report = report_of(trial)
    score.faulty += 1
    found = findings(report.rules)
    right = [found[name] for name in fault.rules if name in found and found[name].status == rules.ISSUES_FOUND]
    judged = verdict(report)
    named = (judged.cause, *judged.alternatives) if judged.cause else ()
    if not is_right(named, fault.causes):
        score.blamed[fault.name] = list(named)
    elif named[0] not in fault.causes:
        score.second.append(fault.name)
    if not right and judged.level not in ("problem", "hint"):
        score.missed.append(fault.name)
    elif right and fault.begins is not None and not any(near(result, fault.begins, trial) for result in right):
        score.elsewhere.append(fault.name)


def near(result: rules.RuleResult, begins: int, trial: Trial) -> bool:
    """Whether one of a rule's findings begins about where the fault does."""
    steps = trial.steps(TRAIN).steps
    tolerance = max(NEAR_STEPS, NEAR_SHARE * len(steps))
    first = [finding.steps[0] for finding in result.findings if finding.steps and finding.mode in (TRAIN, "")]
    return any(abs(step - begins) <= tolerance for step in first)


def healthy_runs(seed: int, *, quick: bool) -> Iterator[tuple[str, Callable[[], MemoryTrial]]]:
    """The healthy runs of a seed: fixed ones, ones drawn at random, and other people's loops."""
    yield from battery.loops.cases(seed)
    yield from [*battery.healthy.cases(seed)][:: 3 if quick else 1]
    yield from [*battery.loop_faults.healthy_loops(seed)][:: 3 if quick else 1]
    for number in range(8 if quick else 30):
        yield f"drawn {number}", lambda number=number: battery.drawn.drawn(10_000 * seed + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the battery and prints its rates; returns 1 if one of them misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer runs, without AWS's definitions")
    parser.add_argument("--verbose", action="store_true", help="name every run that was misjudged")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], help="folders of recordings of healthy runs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # networks this small only lose by sharing work
    warnings.simplefilter("ignore", RuntimeWarning)  # diverging runs overflow, as they should
    begin, score = time.perf_counter(), Score()
    for folder in options.recorded:
        score_healthy(score, folder.name, FileTrial(folder))
    for seed in range(options.seed, options.seed + (1 if options.quick else options.seeds)):
        _run_seed(score, seed, quick=options.quick)
    show(score, verbose=options.verbose)
    sys.stdout.write(f"{time.perf_counter() - begin:.0f} s\n")
    return 0 if score.meets_goals() else 1


def _run_seed(score: Score, seed: int, *, quick: bool) -> None:
    for name, make in healthy_runs(seed, quick=quick):
        trial = make()
        score_healthy(score, f"{name} ({seed})", trial)
        if not quick:
            score.of_aws["healthy"] += bool(by_aws(trial))
    loops = [*battery.loop_faults.faults(seed)][:: 3 if quick else 1]
    for fault in [*battery.faulty.faults(seed), *loops]:
        trial = fault.make()
        score_faulty(score, fault, trial)
        if not quick:
            found = by_aws(trial)
            score.of_aws["faulty"] += any(name in found for name in fault.rules)


def show(score: Score, *, verbose: bool) -> None:
    """Prints a score."""
    titles = {
        "finding": "healthy runs with a finding",
        "hint": "healthy runs with a hint",
        "found": "faults found",
        "cause": "cause right",
    }
    lines = []
    for name, (count, of) in score.rates().items():
        sign = "at most" if name in ("finding", "hint") else "at least"
        share = 100 * count / max(of, 1)
        lines.append(f"{titles[name]:28} {count:4} of {of:4}  {share:5.1f}%  (goal: {sign} {100 * GOALS[name]:.0f}%)")
    timely = score.faulty - len(score.missed) - len(score.elsewhere)
    lines.append(f"{'... at about the right step':28} {timely:4} of {score.faulty:4}")
    first = score.faulty - len(score.blamed) - len(score.second)
    lines.append(f"{'... named first':28} {first:4} of {score.faulty:4}")
    if score.of_aws:
        healthy, faulty = score.of_aws["healthy"], score.of_aws["faulty"]
        lines.append(f"by AWS's definitions: {healthy} healthy runs with a finding, {faulty} faults found")
    topics = Counter(topic for found in score.hinted.values() for topic in found)
    if topics:
        lines.append("hints on healthy runs: " + ", ".join(f"{topic} {count}" for topic, count in topics.most_common()))
    if verbose:
        lines += [f"finding on {name}: {', '.join(found)}" for name, found in score.alarmed.items()]
        lines += [f"hint on {name}: {', '.join(found)}" for name, found in score.hinted.items()]
        lines += [f"missed {name}" for name in score.missed]
        lines += [f"other step: {name}" for name in score.elsewhere]
        lines += [f"blamed for {name}: {', '.join(found) or 'nothing'}" for name, found in score.blamed.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
