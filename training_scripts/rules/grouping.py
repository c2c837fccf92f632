"""Puts one finding for all tensors before the findings about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.findings import Finding


def together(findings: Sequence[Finding], sentence: str) -> list[Finding]:
    """The findings, after one for all of them where there are several.

    Args:
        findings: One per tensor.
        sentence: What they have in common, with `{count}`, `{begin}` (the first step of all) and `{names}` (the
            first three tensors) to be filled in.
    """
    if len(findings) < 2:
        return list(findings)
    modes = {finding.mode for finding in findings}
    # Steps of two modes are two counts: those of one are reported, TRAIN's where there are any.
    mode = TRAIN if TRAIN in modes else min(modes)
    steps = sorted({step for finding in findings if finding.mode == mode for step in finding.steps})
    tensors = list(dict.fromkeys(finding.tensor for finding in findings))  # the same in several modes is one
    if len(tensors) < 2:
        return list(findings)
    names = ", ".join(tensors[:3])
    if len(tensors) > 3:
        names += f" and {len(tensors) - 3} more"
    message = sentence.format(count=len(tensors), begin=steps[0] if steps else "?", names=names)
    first = Finding(message, mode=mode, steps=tuple(steps), numbers={"tensors": len(tensors)})
    return [first, *findings]


def long_list(steps: Iterable[int], most: int = 50) -> tuple[int, ...]:
    """Steps to be shown: the first ones and the last where there are many."""
    plain = [int(step) for step in steps]
    return tuple(plain if len(plain) <= most else [*plain[: most - 1], plain[-1]])
