"""Opens the recording of a run: a new one, or the one that a restarted job continues after its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.trial import layout, run_facts
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial, RecordingError
from training_scripts.recording.trial.writer import TrialWriter

if TYPE_CHECKING:
    from training_scripts.recording.trial.file_trial import FileTrial


def continue_trial(buffer: StepBuffer, run: RunFacts, facts: Mapping[str, Any], *, every: int = 1) -> dict[str, int]:
    """Opens the trial of a run.

    Steps after the checkpoint are removed, because the run repeats them; a recording of another run is replaced.
    If the folder cannot be written, recording to disk ends with a warning.

    Args:
        buffer: The run's buffer; its memory, collections and step numbers are set to the state at the checkpoint.
        run: The content of `run.json`; a recording with the same fingerprint is this run's.
        facts: The facts that `Callback.run_begins` receives.
        every: Record one in this many TRAIN steps.

    Returns:
        The next step of TRAIN and of EVAL.
    """
    done = int(facts.get("epoch", 0) or 0) * int(facts.get("steps_per_epoch", 0) or 0)
    steps = {TRAIN: done, EVAL: 0}
    buffer.global_step = done
    try:
        if buffer.writer is not None:
            if done and _is_of(buffer.writer, run):
                steps[EVAL] = _take_up(buffer, buffer.writer, run, facts, every)
            else:
                buffer.writer.clear()
        buffer.describe()
    except (OSError, RecordingError) as error:
        buffer.stop(error)
    return steps


def _is_of(writer: TrialWriter, run: RunFacts) -> bool:
    """Whether the recording in the folder is this run's."""
    try:
        earlier = layout.read_json(writer.folder / layout.RUN_FILE)
    except (OSError, ValueError):
        return False
    return bool(run["fingerprint"]) and earlier.get("fingerprint") == run["fingerprint"]


def _take_up(buffer: StepBuffer, writer: TrialWriter, run: RunFacts, facts: Mapping[str, Any], every: int) -> int:
    """Removes the steps after the checkpoint; returns the next EVAL step."""
    from training_scripts.recording.trial.file_trial import FileTrial  # noqa: PLC0415 - for restarted jobs only

    recorded = FileTrial(writer.folder, worker=writer.worker)
    earlier = recorded.run
    a_pass, done = int(earlier.get("eval_steps_per_epoch") or 0), buffer.global_step
    judged = int(facts["epoch"]) * a_pass
    train = recorded.steps(TRAIN)
    again = train.global_steps[train.steps >= done]
    last = max(int(recorded.steps(mode).global_steps.max(initial=-1)) for mode in (TRAIN, EVAL))
    buffer.global_step = int(again.min()) if len(again) else max(done + judged, last + 1)
    writer.drop_from(buffer.global_step)
    kept = FileTrial(writer.folder, worker=writer.worker)
    run["started"] = earlier.get("started") or run["started"]
    buffer.learn({"eval_steps_per_epoch": a_pass or None})
    _note_problems(buffer, earlier, int(kept.steps(TRAIN).steps.max(initial=-1)) + 1, done, every)
    for collection, names in kept.collections.items():
        members = buffer.collections.setdefault(collection, [])
        members += [name for name in names if name not in members]
    if buffer.memory is not None:
        _remember(buffer.memory, kept)
    return max(int(kept.steps(EVAL).steps.max(initial=-1)) + 1, judged)


def _note_problems(buffer: StepBuffer, earlier: RunFacts, first: int, done: int, every: int) -> None:
    """Keeps the earlier problems, and notes the steps that an earlier process computed but did not write."""
    for problem in run_facts.problems(earlier):
        buffer.note(problem)
    if done - first >= every:
        lost = f"steps {first} to {done - 1}" if done - first > 1 else f"step {first}"
        buffer.note(f"TRAIN {lost} were lost: their process ended before it wrote them")


def _remember(memory: MemoryTrial, kept: FileTrial) -> None:
    """Copies the steps recorded before the restart to the trial in memory."""
    for collection, names in kept.collections.items():
        memory.collections[collection] = list(names)
    for mode in (TRAIN, EVAL):
        table = kept.steps(mode)
        for step, global_step, when in zip(table.steps, table.global_steps, table.times, strict=True):
            memory.add_step(int(step), mode, global_step=int(global_step), time=float(when))
    for name in kept.tensor_names():
        for mode in kept.tensor(name).modes:
            _remember_tensor(memory, kept, name, mode)


def _remember_tensor(memory: MemoryTrial, kept: FileTrial, name: str, mode: str) -> None:
    whole = kept.steps_in_full(name, mode)
    if name in layout.PER_RUN:
        for step in whole.tolist():
            memory.add(name, step, mode, kept.value(name, step, mode))
        return
    kinds = kept.recorded_reductions(name, mode)
    if len(whole) and kept.value(name, int(whole[0]), mode).size == 1:
        memory.add_numbers(name, kinds["mean"].steps.tolist(), kinds["mean"].values.tolist(), mode)
        return
    for kind, series in kinds.items():  # full weights would fill the memory
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            memory.add_reduction(name, kind, step, mode, value)
