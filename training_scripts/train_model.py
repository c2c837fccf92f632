"""Entry point of a training job: trains a model on the job's channels and writes its bundle to the model folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts.training import hyperparameters, processes, runtime
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.processes import PartDone, Place, Processes
from training_scripts.training.runtime import say
from training_scripts.training.stop_signal import StopFlag, Stopped, on_sigterm

if TYPE_CHECKING:
    from torch import nn

    from training_scripts.data.inputs import TrainingInputs
    from training_scripts.models.heads import HeadSpec
    from training_scripts.models.record import ModelRecord
    from training_scripts.training.evaluation import ModelEvaluation
    from training_scripts.training.hyperparameters import Hyperparameters
    from training_scripts.training.trainer import Trainer


@dataclass(frozen=True)
class Job:
    """What a training run needs from its process.

    Attributes:
        environ: SageMaker's variables.
        stop: The request to stop.
        callbacks: The recorder and the profiler.
        place: The process's place among the processes of the job.
    """

    environ: Mapping[str, str]
    stop: StopFlag
    callbacks: Callbacks
    place: Place

    def report(self, line: str) -> None:
        """Prints a line of the job's log, once for all processes."""
        if self.place.is_first:
            say(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit status."""
    return run("train_model", argv)


def run(entry_point: str, argv: Sequence[str] | None = None) -> int:
    """Runs the job of a training entry point: `train_model`, or `hpo` for one trial of a search."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if {"-h", "--help"} & set(arguments):
        print(f"{entry_point}.py [--name value ...]\n{hyperparameters.describe(entry_point)}")
        return 0
    stop = on_sigterm()
    return processes.run_to_end(
        lambda: runtime.run_entry_point(lambda: train(entry_point, arguments, os.environ, stop))
    )


def train(entry_point: str, arguments: Sequence[str], environ: Mapping[str, str], stop: StopFlag) -> int:
    """One training run, from arguments to bundle."""
    begin = time.time()
    settings = hyperparameters.parse(arguments, entry_point=entry_point)
    runtime.prepare_libraries()
    place = processes.place(environ)
    if entry_point == "hpo":
        environ = runtime.with_trial_checkpoints(environ)
    callbacks = Callbacks()
    # Trials of a search must be quick, and only their metrics count.
    if entry_point == "train_model":
        from training_scripts.recording.recorder import job  # noqa: PLC0415 - NumPy loads

        if place.is_first:
            callbacks = job.callbacks(settings, environ, begin=begin, report=say)
        else:
            callbacks = job.worker_callbacks(settings, environ, report=say)
    try:
        return train_with_callbacks(settings, Job(environ, stop, callbacks, place))
    finally:
        callbacks.run_ends()


def train_with_callbacks(settings: Hyperparameters, job: Job) -> int:
    """One training run of checked hyperparameters.

    All processes of a job share a feature pass, training on pictures, and training on stored features that are too
    large for memory. A head on other features trains in seconds, so the first process trains it alone.
    """
    runtime.prepare()
    runtime.seed_everything(settings.seed)

    # Wrong arguments should fail before torch loads.
    from training_scripts.data import inputs as training_inputs  # noqa: PLC0415

    environ, place = job.environ, job.place
    shared = training_inputs.trains_on_pictures(settings)
    if training_inputs.has_features(settings, environ) and place.count > 1:
        shared = training_inputs.shares_features(environ)
        if not shared and not place.is_first:
            say("the first process trains the head on the stored features; this one has nothing to do")
            return 0
        place = place if shared else Place()
    try:
        with processes.connected(place, job.stop) as joined:
            inputs = training_inputs.read_inputs(
                settings,
                environ,
                report=job.report,
                check=job.stop.check,
                callbacks=job.callbacks,
                processes=joined,
            )
            if shared:
                return fit(inputs, job, joined)
        return fit(inputs, job, Processes())
    except PartDone:
        say("this process's features are computed; the first process trains the head on all of them")
    except Stopped:
        job.report("stopped before the first epoch was done: there is no model to keep")
    return 0


def fit(inputs: TrainingInputs, job: Job, joined: Processes) -> int:
    """Trains on the inputs, evaluates the model and writes its bundle.

    Args:
        inputs: What `read_inputs` returned.
        job: The job.
        joined: The processes that train together.

    Raises:
        Stopped: A stop was requested before the first epoch was done.
    """
    from training_scripts.training.evaluation import evaluate_model  # noqa: PLC0415 - torch loads

    sizes = ", ".join(f"{split} {inputs.batches.size(split)}" for split in ("train", "valid", "test"))
    job.report(f"{inputs.backbone_name}: {len(inputs.classes)} classes; pictures: {sizes}")
    if joined.place.count > 1:
        shared = f"share each batch of {inputs.settings.batch_size} pictures"
        job.report(f"{joined.place.count} processes train together and {shared}")
    trainer = prepare_trainer(inputs, job, joined)
    outcome = trainer.run()
    evaluated = evaluate_model(trainer, outcome, epochs=inputs.settings.epochs, report=job.report)
    for line in inputs.skipped():
        job.report(f"skipped {line}")
    if joined.place.is_first:
        folder = Path(job.environ.get("SM_MODEL_DIR", runtime.DEFAULT_MODEL_DIR))
        write_bundle(folder, inputs, trainer.network.head, evaluated)
    return 0


def prepare_trainer(inputs: TrainingInputs, job: Job, joined: Processes) -> Trainer:
    """A trainer with a fresh head, drawn from the run's seed alone."""
    from training_scripts.models import heads, test_time  # noqa: PLC0415 - torch loads
    from training_scripts.models.network import Network  # noqa: PLC0415
    from training_scripts.training.checkpoints import Checkpoint  # noqa: PLC0415
    from training_scripts.training.trainer import Trainer  # noqa: PLC0415

    settings = inputs.settings
    runtime.seed_everything(settings.seed)  # code that ran before must not change the head's initial weights
    head = heads.build(head_spec(settings), width=inputs.width, classes=len(inputs.classes))
    checkpoint = Checkpoint(
        runtime.checkpoint_folder(job.environ),
        run=inputs.identity(),
        job=job.environ.get("TRAINING_JOB_NAME", ""),
        report=job.report,
    )
    return Trainer(
        Network(head, inputs.backbone, tuned=inputs.tuned, tta=test_time.checked(settings.tta)),
        inputs.batches,
        settings,
        checkpoint=checkpoint,
        stop=job.stop,
        report=job.report,
        callbacks=job.callbacks,
        facts=inputs.facts() if job.callbacks else {},
        processes=joined,
    )


def head_spec(settings: Hyperparameters) -> HeadSpec:
    """The head that the hyperparameters describe."""
    from training_scripts.models.heads import HeadSpec  # noqa: PLC0415 - torch loads

    return HeadSpec(settings.hidden, settings.dropout)


def write_bundle(folder: Path, inputs: TrainingInputs, head: nn.Module, evaluated: ModelEvaluation) -> None:
    """Writes the trained model to a folder."""
    from training_scripts.models import bundle_writer, test_time  # noqa: PLC0415 - torch loads

    description = bundle_writer.write(
        folder,
        backbone_name=inputs.backbone_name,
        backbone_state=inputs.backbone_state(),
        head=head,
        head_spec=head_spec(inputs.settings),
        classes=inputs.classes,
        preprocessing=inputs.preprocessing,
        metrics=evaluated.metrics,
        temperature=evaluated.temperature,
        fingerprint=inputs.fingerprint,
        hyperparameters=inputs.settings.to_dict(),
        rejection=evaluated.rejection,
        tta=test_time.checked(inputs.settings.tta),
        engine=inputs.engine,
        record=model_record(inputs, evaluated),
    )
    say(f"model {description.model_id} written")


def model_record(inputs: TrainingInputs, evaluated: ModelEvaluation) -> ModelRecord:
    """How the model was made and how good it is. Equal runs have equal records, so it has no times."""
    from training_scripts.models import backbones, weights_origin  # noqa: PLC0415 - as above
    from training_scripts.models.record import ModelRecord  # noqa: PLC0415

    spec = backbones.spec(inputs.backbone_name)
    return ModelRecord(
        pictures=inputs.class_counts(),
        weights=weights_origin.weights_origin(spec.name, spec.origin, inputs.settings.weights),
        weights_sha256=inputs.weights,
        versions=runtime.versions(spec.origin),
        evaluation=evaluated.record,
    )


if __name__ == "__main__":
    sys.exit(main())
