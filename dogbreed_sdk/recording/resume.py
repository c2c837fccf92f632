"""Continues a recording: finds the next steps, and removes those that the resumed training repeats."""

from __future__ import annotations

from typing import cast

from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.recording.trial.writer import TrialWriter

# Facts of the new process: the others, such as the initial learning rate, remain as they were recorded.
_NEW = ("epochs", "parameters")


def earlier_facts(writer: TrialWriter, new: RunFacts) -> RunFacts:
    """The facts of the recording in a folder, with what the new process knows better."""
    found = FileTrial(writer.folder, worker=writer.worker).run
    facts = {**new, **{name: value for name, value in found.items() if value is not None}}
    facts.update({name: value for name, value in new.items() if name in _NEW and value})
    facts.pop("failure", None)
    facts["notes"] = [note for note in found.get("notes", []) if not note.startswith(FAILED)]
    return cast("RunFacts", facts)


FAILED = "Training ended with an exception"


def continue_trial(buffer: StepBuffer, writer: TrialWriter, steps: int | None) -> dict[str, int]:
    """Continues the trial in a folder.

    Args:
        buffer: Its collections and step numbers are set.
        writer: Writes the trial.
        steps: TRAIN steps to keep; None keeps all.

    Returns:
        The next step of TRAIN and of EVAL.
    """
    recorded = FileTrial(writer.folder, worker=writer.worker)
    train, evaluated = recorded.steps(TRAIN), recorded.steps(EVAL)
    last = max(int(table.global_steps.max(initial=-1)) for table in (train, evaluated))
    done = int(train.steps.max(initial=-1)) + 1
    keep = done if steps is None else steps
    repeated = train.global_steps[train.steps >= keep]
    buffer.global_step = int(repeated.min()) if len(repeated) else last + 1
    writer.drop_from(buffer.global_step)
    if keep > done:
        buffer.note(f"TRAIN steps {done} to {keep - 1} were lost: their process ended before it wrote them")
        buffer.global_step += keep - done
    for collection, names in recorded.collections.items():
        for name in names:
            buffer.declare(collection, name)
    kept = evaluated.steps[evaluated.global_steps < buffer.global_step]
    return {TRAIN: keep, EVAL: int(kept.max(initial=-1)) + 1}
