"""Encodes the losses of many steps at once: encoding record by record would slow down quick training steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from training_scripts.recording.trial import events, tfrecord
from training_scripts.recording.trial.records import Step

# Loss, accuracy, size, a few learning rates and losses; a step with more has tensors' reductions.
_MOST_ALIKE = 16


def alike(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Groups neighbors whose records have the same length: same mode, names and number of digits."""
    for _, group in groupby(steps, key=_shape):
        yield list(group)


def _shape(step: Step) -> tuple[object, ...]:
    if step.arrays or len(step.numbers) > _MOST_ALIKE:
        return (step.global_step,)  # its numbers have different names, so it forms a separate group
    names = tuple(name for name, _ in step.numbers)
    return step.mode, names, len(str(step.mode_step)), len(events.varint(step.global_step)) if step.global_step else 0


def encode(steps: Sequence[Step]) -> tuple[bytes, list[tuple[str, int, int]], int]:
    """Encodes the frames of one group of `alike`.

    Returns:
        The frames of all steps; name, begin and length of each frame of the first step; the length of a step.
    """
    first = steps[0]
    if len(steps) == 1:
        return _one_by_one(first)
    digits, place = b"%d" % first.mode_step, events.varint(first.global_step)
    parts = events.number_parts(step=first.global_step, mode=first.mode, mode_step=first.mode_step, time=0.0)
    framed = [tfrecord.frame(events.encode_number(name, 0.0, parts)) for name, _ in first.numbers]
    located, length = [], 0
    for (name, _), content in zip(first.numbers, framed, strict=True):
        located.append((name, length, len(content)))
        length += len(content)
    rows = np.tile(np.frombuffer(b"".join(framed), dtype=np.uint8), (len(steps), 1))
    times = _bytes(np.array([step.time for step in steps], dtype="<f8"))
    with np.errstate(over="ignore"):
        values = np.array([[value for _, value in step.numbers] for step in steps], dtype="<f4")
    places = _joined([events.varint(step.global_step) for step in steps]) if first.global_step else None
    steps_in_mode = _joined([b"%d" % step.mode_step for step in steps])
    for number, (_, begin, size) in enumerate(located):
        at = begin + tfrecord.HEADER_BYTES + 1
        rows[:, at : at + 8] = times
        if places is not None:
            rows[:, at + 9 : at + 9 + len(place)] = places
        tail = begin + size - tfrecord.FOOTER_BYTES - len(parts[1])
        rows[:, tail - 4 : tail] = _bytes(values[:, number])
        at = tail + parts[1].index(b"mode_step\x12") + len(b"mode_step\x12") + 1
        rows[:, at : at + len(digits)] = steps_in_mode
    return rows.tobytes(), located, length


def _one_by_one(step: Step) -> tuple[bytes, list[tuple[str, int, int]], int]:
    parts = events.number_parts(step=step.global_step, mode=step.mode, mode_step=step.mode_step, time=step.time)
    content, located = bytearray(), []
    for name, value in step.numbers:
        framed = tfrecord.frame(events.encode_number(name, value, parts))
        located.append((name, len(content), len(framed)))
        content += framed
    return bytes(content), located, len(content)


def _bytes(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), -1)


def _joined(parts: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), -1)
