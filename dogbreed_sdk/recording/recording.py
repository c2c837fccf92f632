"""The recording of one loop, while it is open: turns its steps and evaluations into a trial and a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dogbreed_sdk.recording import folder as folders
from dogbreed_sdk.recording.batches import Batch, batch_of
from dogbreed_sdk.recording.evaluation import RUN_BYTES, SAMPLE_BYTES, Evaluation
from dogbreed_sdk.recording.input_watch import InputWatch
from dogbreed_sdk.recording.loader_clock import LoaderClock
from dogbreed_sdk.recording.optimizer_watch import (
    TOO_LARGE,
    ActivationWatch,
    OptimizerWatch,
    unwrapped,
    unwrapped_optimizer,
)
from dogbreed_sdk.recording.options import Options
from dogbreed_sdk.recording.predictions import Answers, Task, compares_every_pair, may_broadcast, per_sample_losses
from dogbreed_sdk.recording.resume import FAILED, continue_trial, earlier_facts
from dogbreed_sdk.recording.sample_counts import MOST_CLASSES, SampleCounts
from training_scripts._util.number_text import counted
from training_scripts.recording.recorder import bulk
from training_scripts.recording.recorder.learning_rates import LearningRates
from training_scripts.recording.recorder.save_interval import planned
from training_scripts.recording.recorder.signs import Signs, facts_of
from training_scripts.recording.recorder.snapshots import Layers, Snapshot
from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.recorder.torch_reductions import few
from training_scripts.recording.recorder.worker import current
from training_scripts.recording.trial.layout import (
    ACCURACY,
    INPUT_IMAGE,
    LABELS,
    LOOP_LOSS,
    LOSS_PARTS,
    PREDICTIONS,
    loss_part_name,
)
from training_scripts.recording.trial.run_facts import CLASSIFICATION
from training_scripts.recording.trial.trial import EVAL, TRAIN

if TYPE_CHECKING:
    from torch import Tensor

    from training_scripts.recording.profiler.profiler import Profiler
    from training_scripts.recording.recorder.torch_reductions import Number

# The losses of all steps up to this one are kept, then one in two up to twice as many, one in four up to four times ...
_ALL_STEPS = 20_000
_WAIT_AT_END = 60.0
NO_HOOKS = "Gradients, weights and learning rates were not recorded: the optimizer has no hooks of torch.optim's."
DIVIDED = (
    "The loop divides its losses by {0}, for gradient accumulation; they were recorded times {0}, so that they compare "
    "with those of the evaluations."
)
SUMMED = (
    "The loss is a sum over the {0} samples of a batch (reduction='sum'), not their mean: it and its gradients are {0} "
    "times as large, so lr acts like {0} times that of a mean."
)
COMPILED = "Activations were not recorded: torch.compile runs the model."


class Recording:
    """One open recording.

    Attributes:
        steps: TRAIN and EVAL -> the number of the next step.
    """

    def __init__(
        self,
        options: Options,
        *,
        task: Task,
        report: Callable[[str], object],
        failed: Callable[[Exception], object],
    ) -> None:
        """Opens the recording: writes its facts, adds hooks, starts the profiler.

        Args:
            options: What the caller asked for.
            task: Of the run; learns from the first batch.
            report: Called with one line of log at a time.
            failed: Called with an error in a hook, where it cannot be raised.
        """
        self._options = options
        self._worker = current()
        self._task = task
        self._saving = planned(options.save_interval, (options.epochs or 0) * (options.steps_per_epoch or 0))
        self._epoch = self._epoch_begins = 0
        self._lengths: set[int] = set()
        self._evaluation: Evaluation | None = None
        self._evaluated_bytes = 0
        self._evaluations = 0
        # Of several workers, each sees its own samples alone; readers go by the sizes of the recorded steps.
        self._counts = SampleCounts(is_active=self._worker.count == 1)
        self._divisor: int | None = None
        self._unequal: dict[str, int] = {TRAIN: 0, EVAL: 0}  # batches with shapes that may broadcast
        self._armed: Snapshot | None = None
        self._ready: Snapshot | None = None
        self._rates_of_step: Mapping[str, Number] | None = None
        self._backwards_seen = 0
        self._open_trial(report)
        self._add_hooks(failed)
        self._clock = LoaderClock()
        self._profiler = self._start_profiler(report) if options.profile and self._worker.is_first else None
        self._clock.start()
        self._last = perf_counter()
        self._due, self._records_first = True, False
        self._arm()

    # -- opening -------------------------------------------------------------------------------------------------

    def _open_trial(self, report: Callable[[str], object]) -> None:
        options, facts = self._options, self._options.facts(workers=self._worker.count)
        trial = options.folder / folders.TRIAL
        continues = options.resume is not None and folders.is_recording(options.folder, self._worker)
        buffer = StepBuffer(
            trial,
            None,
            facts,
            {TRAIN: self._saving.interval, EVAL: 1},
            loss_name=LOOP_LOSS,
            worker=self._worker,
            report=report,
        )
        self._buffer = buffer
        self.steps = {TRAIN: 0, EVAL: 0}
        if continues and buffer.writer is not None:
            facts.update(earlier_facts(buffer.writer, facts))
            kept = None if options.resume is True else int(options.resume or 0)
            self.steps = continue_trial(buffer, buffer.writer, kept)
            self._epoch_begins = self.steps[TRAIN]
            self._counts.is_active = False
        else:
            folders.clear(options.folder, self._worker)
        if note := self._saving.note():
            buffer.remark(note)
        self._facts = facts
        self._first = self.steps[TRAIN]
        buffer.describe()

    def _add_hooks(self, failed: Callable[[Exception], object]) -> None:
        from torch import nn  # noqa: PLC0415 - torch is the caller's

        options = self._options
        self._layers = self._activations = self._optimizer = self._rates = None
        self._signs: Signs | None = None
        self._inputs: InputWatch | None = None
        if options.model is not None:
            model = unwrapped(options.model)
            self._signs = Signs(model, self._buffer)
            self._learn(**facts_of(model, options.optimizer))
            # Weights and gradients are the same in all workers.
            self._layers = Layers(model if self._worker.is_first else nn.Identity())
            self._activations = ActivationWatch(options.model, self._layers)
            if not self._activations.is_possible:
                self._buffer.remark(COMPILED)
            else:
                self._inputs = InputWatch(model, self._signs.inputs, failed=failed)
        if options.optimizer is None:
            return
        optimizer = unwrapped_optimizer(options.optimizer)
        if not hasattr(optimizer, "register_step_pre_hook"):
            self._buffer.remark(NO_HOOKS)
            return
        self._rates = LearningRates(optimizer, self._buffer)
        self._optimizer = OptimizerWatch(
            optimizer, self._layers, before=self._optimizer_begins, after=self._optimizer_ends, failed=failed
        )
        if not self._optimizer.measures_updates:
            self._buffer.remark(TOO_LARGE)

    def _start_profiler(self, report: Callable[[str], object]) -> Profiler:
        from torch import nn  # noqa: PLC0415 - torch is the caller's

        from training_scripts.recording.profiler.profiler import Profiler  # noqa: PLC0415 - not where it is off

        profiler = Profiler(self._options.folder / folders.PROFILE, operators="off", report=report)
        model = self._options.model if isinstance(self._options.model, nn.Module) else nn.Identity()
        profiler.run_begins(
            unwrapped(model),
            {
                "fingerprint": self._facts["fingerprint"],
                "steps_per_epoch": self._options.steps_per_epoch,
                "train_steps": self.steps[TRAIN],
                "eval_steps": self.steps[EVAL],
            },
        )
        return profiler

    # -- training ------------------------------------------------------------------------------------------------

    def train_step(self, loss: Any, outputs: Any, labels: Any, losses: Mapping[str, Any], size: int | None) -> None:
        """Records a training step; takes the arguments of `Recorder.step`."""
        batch = batch_of(loss, outputs, labels, losses, size)
        self._evaluation_ends()
        step = self.steps[TRAIN]
        self.steps[TRAIN] = step + 1
        snapshot, self._ready = self._ready, None
        saved = snapshot or self._armed
        signs = self._signs_of(batch, trained=True)
        if saved is None and self._answers_later(batch, signs):
            answers, labels = None, batch.labels
        else:
            answers = self._answers(batch)
            labels = answers.labels if answers is not None and answers.one_per_sample else None
        batch = self._undivided(batch)
        self._look_at_shapes(TRAIN, batch)
        self._count(labels, batch.size)
        self._time(TRAIN)
        if saved is not None and answers is not None and answers.one_per_sample:
            saved.keep_full(LABELS, answers.labels.int(), LABELS)
            saved.keep_full(PREDICTIONS, answers.predictions.int(), PREDICTIONS)
        if saved is not None:
            self._keep_input(saved)
        if saved is not None and self._optimizer is None:
            snapshot = self._without_optimizer()
        if saved is None and step % one_in(step):
            self._buffer.skip()
        else:
            signs.update(self._rates_now())
            signs.update(self._parts(batch.losses))
            correct = _correct(answers, batch)
            self._buffer.keep(TRAIN, step, batch.loss, correct, batch.size, others=signs, snapshot=snapshot)
        if self._optimizer is not None:
            self._backwards_seen = self._optimizer.backwards
        self._due = self._due or self._saving.at(step + 1)
        if not self._records_first:
            self._arm()

    def _optimizer_begins(self) -> None:
        if self._rates is not None and self._is_before_its_step():
            self._rates_of_step = self._rates.now()
        if self._activations is not None:
            self._activations.end()
        if self._layers is not None:
            self._layers.check()

    def _optimizer_ends(self, taken: Snapshot | None) -> None:
        """Gives the tensors of an optimizer step to the step of the loop that it belongs to."""
        if self._rates is not None and self._rates_of_step is None and self._is_before_its_step():
            self._rates_of_step = self._rates.now()  # its closure ran the backward pass
        self._records_first = not self._is_before_its_step()
        if taken is None:
            self._arm()
            return
        self._armed = None
        if self._is_before_its_step():
            self._ready = taken
        else:
            self._buffer.add_to_last(taken)
            self._arm()

    def _is_before_its_step(self) -> bool:
        """Whether the loop records a step after the optimizer's: then there was a backward pass since the last one."""
        return self._optimizer is not None and (
            self._optimizer.backwards > self._backwards_seen or self.steps[TRAIN] == self._first
        )

    def _without_optimizer(self) -> Snapshot | None:
        snapshot, self._armed = self._armed, None
        if snapshot is not None and self._layers is not None:
            self._layers.take_weights(snapshot, keep=False)
        return snapshot

    def _rates_now(self) -> Mapping[str, Number]:
        """The learning rates of the step: those with which the optimizer stepped, if it has already."""
        found, self._rates_of_step = self._rates_of_step, None
        if found is not None:
            return found
        return self._rates.now() if self._rates is not None else {}

    def _arm(self) -> None:
        """Requests the tensors of the next optimizer step if it is due, and activations of the next forward pass."""
        if self._layers is None or self._armed is not None or not self._due:
            return
        self._due = False
        self._armed = snapshot = Snapshot()
        if self._activations is not None:
            self._activations.begin(snapshot)
        if self._optimizer is not None:
            self._optimizer.arm(snapshot)

    def _keep_input(self, snapshot: Snapshot) -> None:
        if self._activations is None:
            return
        inputs, self._activations.first_input = self._activations.first_input, None
        if inputs is not None and inputs.dim() == 4 and inputs.shape[1] == 3:
            snapshot.keep_full(INPUT_IMAGE, inputs.detach().float().mean((2, 3)), "inputs")

    # -- evaluation ----------------------------------------------------------------------------------------------

    def eval_step(self, loss: Any, outputs: Any, labels: Any, losses: Mapping[str, Any], size: int | None) -> None:
        """Records a batch of an evaluation; takes the arguments of `Recorder.evaluate`."""
        batch = batch_of(loss, outputs, labels, losses, size)
        if self._evaluation is None:
            self._end_counting()
            every = 1 << (self._evaluated_bytes * 2 // RUN_BYTES)
            self._evaluation = Evaluation(self.steps[EVAL], keeps_samples=self._evaluations % every == 0)
            if self._signs is not None and self._inputs is not None and self._inputs.in_training_mode:
                self._signs.evaluation_begins()
        evaluation = self._evaluation
        step = self.steps[EVAL]
        self.steps[EVAL] = step + 1
        answers = self._answers(batch)
        self._look_at_shapes(EVAL, batch)
        evaluation.add(batch.loss, batch.size)
        if batch.outputs is not None and batch.labels is not None:
            evaluation.add_samples(batch.outputs, batch.labels, answers, batch.each)
        self._time(EVAL)
        signs = self._signs_of(batch, trained=False)
        signs.update(self._parts(batch.losses))
        self._buffer.keep(EVAL, step, batch.loss, _correct(answers, batch), batch.size, others=signs)

    def _evaluation_ends(self) -> None:
        evaluation, self._evaluation = self._evaluation, None
        if evaluation is None:
            return
        self._evaluations += 1
        kept = evaluation.ends(classes=self._task.name == CLASSIFICATION)
        if kept is not None:
            self._buffer.add_to_last(kept)
            self._evaluated_bytes += evaluation.samples * SAMPLE_BYTES
        facts = self._facts
        if facts.get("eval_steps_per_epoch") is None:
            sizes = dict(facts.get("sizes", {}))
            if evaluation.samples and self._worker.count == 1:
                sizes["valid"] = evaluation.samples
            self._learn(eval_steps_per_epoch=evaluation.steps, sizes=sizes)
        self._buffer.flush()
        self._last = perf_counter()

    # -- epochs and the end --------------------------------------------------------------------------------------

    def epoch_ends(self) -> None:
        """Ends an epoch: learns how long it was, and writes it."""
        self._evaluation_ends()
        self._end_counting()
        length = self.steps[TRAIN] - self._epoch_begins
        self._epoch_begins = self.steps[TRAIN]
        if not length:
            return
        self._epoch += 1
        self._lengths.add(length)
        if self._epoch == 1 and self._counts.samples and not self._facts.get("sizes", {}).get("train"):
            self._learn(sizes={**self._facts.get("sizes", {}), "train": self._counts.samples})
        whole = next(iter(self._lengths)) if len(self._lengths) == 1 else None
        if self._first == 0 and self._facts.get("steps_per_epoch") != whole:
            self._learn(steps_per_epoch=whole)  # None if epochs differ: readers then go by the evaluations
        if self._profiler is not None:
            self._profiler.epoch_ends(self._epoch, {})
        self._buffer.flush()
        self._last = perf_counter()

    def ends(self, failure: BaseException | None = None) -> None:
        """Writes the rest and marks the trial as ended.

        Args:
            failure: What ended the loop, if it was an exception.
        """
        self._evaluation_ends()
        self._end_counting()
        if failure is not None:
            reason = f"{type(failure).__name__}: {failure}".rstrip(": ")[:300]
            self._buffer.learn({"failure": reason})
            self._buffer.remark(f"{FAILED} after {counted(self.steps[TRAIN], 'step')}: {reason}")
        if self._optimizer is not None:
            earlier = bool(self._facts.get("optimizer_stepped"))
            self._learn(optimizer_stepped=earlier or self._optimizer.steps > 0)
        self.release()
        self._buffer.flush()
        others = self._worker.local_others() if failure is None else ()
        self._buffer.end(_WAIT_AT_END, others=others)
        if self._profiler is not None:
            self._profiler.run_ends()

    def abandon(self, reason: str) -> None:
        """Writes the buffered steps and why recording stopped; does not mark the trial as ended."""
        self.release()
        self._buffer.abandon(
            f"recording stopped after {counted(self.steps[TRAIN], 'step')}, and training continued: {reason}"
        )
        if self._profiler is not None:
            self._profiler.abandoned(reason)

    def release(self) -> None:
        """Removes all hooks."""
        self._clock.stop()
        if self._activations is not None:
            self._activations.end()
        if self._optimizer is not None:
            self._optimizer.remove()
        if self._inputs is not None:
            self._inputs.remove()
        if self._signs is not None:
            self._signs.end()

    def _learn(self, **facts: Any) -> None:
        self._facts.update(facts)  # type: ignore[typeddict-item]
        self._buffer.learn(facts)  # type: ignore[arg-type]

    def _learn_accumulation(self) -> None:
        """Learns the gradient accumulation, the loop's steps per optimizer step, once the optimizer has made two."""
        if self._optimizer is not None and self._optimizer.steps > 1:
            found = max(1, round((self.steps[TRAIN] - self._first) / self._optimizer.steps))
            if self._facts.get("accumulation") != found:
                self._learn(accumulation=found)

    # -- what batches show ---------------------------------------------------------------------------------------

    def _answers(self, batch: Batch) -> Answers | None:
        if batch.outputs is None or batch.labels is None:
            return None
        if not self._task.is_known:
            self._task.look(batch.outputs, batch.labels, float(batch.loss))
            self._learn_task()
            if _is_summed(batch):
                self._buffer.remark(SUMMED.format(batch.size))
        return self._task.answers(batch.outputs, batch.labels)

    def _answers_later(self, batch: Batch, numbers: dict[str, Number]) -> bool:
        """Leaves the accuracy of a small batch on a CPU, with one label per sample, to the buffer; False for others."""
        outputs, labels = batch.outputs, batch.labels
        if not self._task.is_of_scores or outputs is None or labels is None:
            return False
        if outputs.dim() != 2 or labels.dim() != 1 or not labels.shape[0] == outputs.shape[0] == batch.size:
            return False
        scores, truth = few(outputs), few(labels)
        if scores is None or truth is None or truth.dtype.kind not in "iu" or scores.shape[1] < 2 or not truth.size:
            return False
        self._buffer.bulk.add((ACCURACY,), bulk.share_right, (scores, truth), numbers)
        return True

    def _learn_task(self) -> None:
        facts: dict[str, Any] = {"task": self._task.name}
        if 0 < self._task.classes <= MOST_CLASSES and not self._facts.get("classes"):
            facts["classes"] = list(range(self._task.classes))
        self._learn(**facts)

    def _count(self, labels: Tensor | None, size: int | None) -> None:
        counts = self._counts
        if not counts.is_active:
            return
        counts.add(size)
        if "batch_size" not in self._facts and size:
            self._learn(batch_size=size)
        classes = len(self._facts.get("classes", ()))
        if labels is None or not 1 < classes <= MOST_CLASSES:
            return
        length = self._options.steps_per_epoch
        if length is not None and self.steps[TRAIN] - self._first > length:
            self._end_counting()  # a loop that marks no epochs
            return
        counts.add_labels(labels, classes)

    def _end_counting(self) -> None:
        self._learn_accumulation()
        if not self._counts.is_active or self.steps[TRAIN] == self._first:
            return
        found = self._counts.end(len(self._facts.get("classes", ())))
        if found is not None:
            self._learn(class_counts=found)

    def _signs_of(self, batch: Batch, *, trained: bool) -> dict[str, Number]:
        """Numbers of a step's inputs, targets and outputs, and of gradients that were left of earlier steps."""
        if self._signs is None:
            return {}
        self._signs.targets(batch.labels)
        self._signs.outputs(batch.outputs)
        return self._signs.take(trained=trained)

    def _undivided(self, batch: Batch) -> Batch:
        """Undoes the division of losses by the number of micro-batches, which many loops do, where it is certain.

        Divided, they would be incomparable with those of the evaluations. Waits for a GPU, once per run.
        """
        if self._divisor is None and self._optimizer is not None and self._optimizer.steps:
            every = self.steps[TRAIN] - self._first - int(self._records_first)  # steps before the first update
            self._divisor = every if self._optimizer.steps == 1 and every > 1 and _is_usual_times(batch, every) else 1
            if self._divisor > 1:
                self._buffer.multiply_losses(TRAIN, self._divisor)
                self._buffer.remark(DIVIDED.format(self._divisor))
        return batch if self._divisor in (None, 1) else batch.multiplied(self._divisor)

    def _look_at_shapes(self, mode: str, batch: Batch) -> None:
        """Notes shapes of outputs and targets that the loss broadcasts.

        Where shapes allow it, compares the loss of batches 1, 2, 4, 8, ... until it can be told; this waits for a GPU.
        """
        outputs, labels = batch.outputs, batch.labels
        if mode not in self._unequal or outputs is None or labels is None or not may_broadcast(outputs, labels):
            return
        self._unequal[mode] += 1
        if self._unequal[mode].bit_count() > 1:
            return
        found = compares_every_pair(outputs, labels, float(batch.loss))
        if found is not None:
            del self._unequal[mode]
        if found:
            self._unequal.clear()
            self._learn(output_shape=list(outputs.shape), target_shape=list(labels.shape))

    def _parts(self, losses: Mapping[str, Number]) -> dict[str, Number]:
        found = {}
        for name, value in losses.items():
            found[loss_part_name(name)] = value
            self._buffer.declare(LOSS_PARTS, loss_part_name(name))
        return found

    # -- time ----------------------------------------------------------------------------------------------------

    def _time(self, mode: str) -> None:
        """Adds the step to the profile: its wait for data is the loader's, if a loader of torch's was used."""
        profiler, now = self._profiler, perf_counter()
        begin, self._last = self._last, now
        if profiler is None:
            return
        clock, watch = self._clock, self._optimizer
        ready = begin
        if clock.end > begin:
            begin, ready = max(begin, clock.begin), clock.end
            if clock.workers is not None and mode == TRAIN and self.steps[TRAIN] == self._first + 1:
                profiler.learn({"workers": clock.workers or None})
        forward = backward = now
        if watch is not None and mode == TRAIN:
            backward = watch.begins if watch.begins > ready else now
            forward = watch.backward_begins if watch.backward_begins > ready else backward
        profiler.add_step((mode, begin, ready, min(forward, backward), backward, now))


def _is_summed(batch: Batch) -> bool:
    """Whether a batch's loss is the sum of one of the usual losses of its samples."""
    one_each = batch.labels is not None and batch.labels.numel() == batch.size
    return one_each and (batch.size or 0) > 1 and _is_usual_times(batch, 1 / (batch.size or 1))


def _is_usual_times(batch: Batch, factor: float) -> bool:
    """Whether a batch's loss matches one of the usual losses only if it is multiplied by the factor."""
    if batch.outputs is None or batch.labels is None:
        return False
    loss = float(batch.loss)
    found = [per_sample_losses(batch.outputs, batch.labels, loss * times) for times in (1, factor)]
    return found[0] is None and found[1] is not None


def _correct(answers: Answers | None, batch: Batch) -> Number | None:
    return answers.correct(batch.size) if answers is not None and batch.size else None


def one_in(step: int) -> int:
    """The interval at which losses around a step are kept: 1 keeps all, 4 keeps every fourth."""
    return 1 << (step // _ALL_STEPS).bit_length()
