"""Puts one finding for all tensors before the findings about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.findings import Finding, in_workers

MOST_STEPS = 50
"""Number of steps that a finding lists."""


def together(findings: Sequence[Finding], sentence: str) -> list[Finding]:
    """Adds a finding that covers all tensors, and puts it first, if there are several findings.

    Args:
        findings: One per tensor.
        sentence: What they have in common. Its fields `{count}`, `{begin}` (the earliest step) and `{names}` (the first
            three tensors) are filled in.
    """
    if len(findings) < 2:
        return list(findings)
    modes = {finding.mode for finding in findings}
    # Each mode counts its own steps, so those of one mode are reported: TRAIN if there are any.
    mode = TRAIN if TRAIN in modes else min(modes)
    steps = sorted({step for finding in findings if finding.mode == mode for step in finding.steps})
    tensors = list(dict.fromkeys(finding.tensor for finding in findings))  # a tensor in several modes counts once
    if len(tensors) < 2:
        return list(findings)
    names = ", ".join(tensors[:3])
    if len(tensors) > 3:
        names += f" and {len(tensors) - 3} more"
    workers = first_workers([finding for finding in findings if finding.mode == mode])
    begin = f"{steps[0]}{in_workers(workers)}" if steps else "?"
    message = sentence.format(count=len(tensors), begin=begin, names=names)
    numbers = {"tensors": len(tensors)}
    return [Finding(message, mode=mode, steps=tuple(steps), numbers=numbers, workers=workers), *findings]


def first_workers(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The workers of the findings that began first. What all workers have alike, such as gradients, names none."""
    began = min((finding.steps[0] for finding in findings if finding.steps), default=None)
    first = [finding for finding in findings if finding.steps[:1] == (began,)]
    return tuple(dict.fromkeys(worker for finding in first for worker in finding.workers))


def long_list(steps: Iterable[int]) -> tuple[int, ...]:
    """The steps to show: all of them, or the first ones and the last if there are too many."""
    plain = [int(step) for step in steps]
    return tuple(plain if len(plain) <= MOST_STEPS else [*plain[: MOST_STEPS - 1], plain[-1]])
