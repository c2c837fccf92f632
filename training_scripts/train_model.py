"""Entry point of a training job: trains a model on the job's channels and writes its bundle to the model folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts.training import hyperparameters, runtime
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.runtime import say
from training_scripts.training.stop_signal import StopFlag, Stopped, on_sigterm

if TYPE_CHECKING:
    from torch import nn

    from training_scripts.data.inputs import TrainingInputs
    from training_scripts.models.heads import HeadSpec
    from training_scripts.training.evaluation import ModelEvaluation
    from training_scripts.training.hyperparameters import Hyperparameters
    from training_scripts.training.trainer import Trainer


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
    return runtime.run_entry_point(lambda: train(entry_point, arguments, os.environ, stop))


def train(entry_point: str, arguments: Sequence[str], environ: Mapping[str, str], stop: StopFlag) -> int:
    """One training run, from arguments to bundle."""
    begin = time.time()
    settings = hyperparameters.parse(arguments, entry_point=entry_point)
    runtime.prepare_libraries()
    callbacks = Callbacks()
    if entry_point == "train_model":  # trials of a search must be quick, and only their metrics count
        from training_scripts.recording.recorder.job import callbacks as chosen  # noqa: PLC0415 - NumPy loads

        callbacks = chosen(settings, environ, begin=begin, report=say)
    try:
        return train_with_callbacks(settings, environ, stop, callbacks)
    finally:
        callbacks.run_ends()


def train_with_callbacks(
    settings: Hyperparameters, environ: Mapping[str, str], stop: StopFlag, callbacks: Callbacks
) -> int:
    """One training run of checked hyperparameters."""
    runtime.prepare()
    runtime.seed_everything(settings.seed)

    # Wrong arguments should fail before torch loads.
    from training_scripts.data.inputs import read_inputs  # noqa: PLC0415
    from training_scripts.training.evaluation import evaluate_model  # noqa: PLC0415

    try:
        inputs = read_inputs(settings, environ, report=say, check=stop.check, callbacks=callbacks)
        sizes = ", ".join(f"{split} {inputs.batches.size(split)}" for split in ("train", "valid", "test"))
        say(f"{inputs.backbone_name}: {len(inputs.classes)} classes; pictures: {sizes}")

        trainer = prepare_trainer(inputs, settings, environ, stop, callbacks)
        outcome = trainer.run()
    except Stopped:
        say("stopped before the first epoch was done: there is no model to keep")
        return 0

    evaluated = evaluate_model(trainer, outcome, epochs=settings.epochs, report=say)
    for line in inputs.skipped():
        say(f"skipped {line}")
    folder = Path(environ.get("SM_MODEL_DIR", runtime.DEFAULT_MODEL_DIR))
    write_bundle(folder, inputs, trainer.network.head, evaluated)
    return 0


def prepare_trainer(
    inputs: TrainingInputs,
    settings: Hyperparameters,
    environ: Mapping[str, str],
    stop: StopFlag,
    callbacks: Callbacks,
) -> Trainer:
    """A trainer with a fresh head, drawn from the run's seed alone."""
    from training_scripts.models import heads  # noqa: PLC0415 - torch loads
    from training_scripts.models.network import Network  # noqa: PLC0415
    from training_scripts.training.checkpoints import Checkpoint  # noqa: PLC0415
    from training_scripts.training.trainer import Trainer  # noqa: PLC0415

    runtime.seed_everything(settings.seed)  # code that ran before must not change the head's initial weights
    head = heads.build(head_spec(settings), width=inputs.width, classes=len(inputs.classes))
    checkpoint = Checkpoint(
        runtime.checkpoint_folder(environ),
        run=inputs.identity(),
        job=environ.get("TRAINING_JOB_NAME", ""),
        report=say,
    )
    network = Network(head, inputs.backbone, tuned=inputs.tuned)
    return Trainer(
        network,
        inputs.batches,
        settings,
        checkpoint=checkpoint,
        stop=stop,
        report=say,
        callbacks=callbacks,
        facts=inputs.facts() if callbacks else {},
    )


def head_spec(settings: Hyperparameters) -> HeadSpec:
    """The head that the hyperparameters describe."""
    from training_scripts.models.heads import HeadSpec  # noqa: PLC0415 - torch loads

    return HeadSpec(settings.hidden, settings.dropout)


def write_bundle(folder: Path, inputs: TrainingInputs, head: nn.Module, evaluated: ModelEvaluation) -> None:
    """Writes the trained model to a folder."""
    from training_scripts.models import bundle  # noqa: PLC0415 - torch loads

    description = bundle.write(
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
        sizes={split: inputs.batches.size(split) for split in ("train", "valid", "test")},
    )
    say(f"model {description.model_id} written")


if __name__ == "__main__":
    sys.exit(main())
