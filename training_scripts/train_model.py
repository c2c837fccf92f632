"""Entry point of a training job: trains a model on the job's channels and leaves its bundle in the model folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts.training import hyperparameters, runtime
from training_scripts.training.callbacks import Watchers
from training_scripts.training.runtime import say
from training_scripts.training.stop_signal import StopFlag, Stopped, on_sigterm

if TYPE_CHECKING:
    from torch import nn

    from training_scripts.data.inputs import Material
    from training_scripts.models.heads import HeadSpec
    from training_scripts.training.evaluation import Judgement
    from training_scripts.training.hyperparameters import Hyperparameters
    from training_scripts.training.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit status."""
    return run("train_model", argv)


def run(entry_point: str, argv: Sequence[str] | None = None) -> int:
    """Runs the job of an entry point that trains: `train_model`, or `hpo` for one trial of a search."""
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
    watchers = Watchers()
    if entry_point == "train_model":  # trials of a search are to be quick, and judged by their metrics alone
        from training_scripts.recording.recorder.job import watchers as chosen  # noqa: PLC0415 - NumPy loads

        watchers = chosen(settings, environ, begin=begin, report=say)
    try:
        return train_watched(settings, environ, stop, watchers)
    finally:
        watchers.run_ends()


def train_watched(settings: Hyperparameters, environ: Mapping[str, str], stop: StopFlag, watchers: Watchers) -> int:
    """One training run of checked hyperparameters, told to those who watch."""
    runtime.prepare()
    runtime.seed_everything(settings.seed)

    # Wrong arguments should fail before torch loads.
    from training_scripts.data.inputs import gather  # noqa: PLC0415
    from training_scripts.training.evaluation import judge  # noqa: PLC0415

    try:
        material = gather(settings, environ, report=say, check=stop.check, watchers=watchers)
        sizes = ", ".join(f"{split} {material.batches.size(split)}" for split in ("train", "valid", "test"))
        say(f"{material.backbone_name}: {len(material.classes)} classes; pictures: {sizes}")

        trainer = prepare_trainer(material, settings, environ, stop, watchers)
        outcome = trainer.run()
    except Stopped:
        say("stopped before the first epoch was done: there is no model to keep")
        return 0

    judgement = judge(trainer, outcome, epochs=settings.epochs, report=say)
    for line in material.skipped():
        say(f"skipped {line}")
    folder = Path(environ.get("SM_MODEL_DIR", runtime.DEFAULT_MODEL_DIR))
    write_bundle(folder, material, trainer.network.head, judgement)
    return 0


def prepare_trainer(
    material: Material,
    settings: Hyperparameters,
    environ: Mapping[str, str],
    stop: StopFlag,
    watchers: Watchers,
) -> Trainer:
    """A trainer with a fresh head, drawn from the run's seed alone."""
    from training_scripts.models import heads  # noqa: PLC0415 - torch loads
    from training_scripts.models.network import Network  # noqa: PLC0415
    from training_scripts.training.checkpoints import Checkpoint  # noqa: PLC0415
    from training_scripts.training.trainer import Trainer  # noqa: PLC0415

    runtime.seed_everything(settings.seed)  # what came before must not decide how the head begins
    head = heads.build(head_spec(settings), width=material.width, classes=len(material.classes))
    checkpoint = Checkpoint(
        runtime.checkpoint_folder(environ),
        run=material.identity(),
        job=environ.get("TRAINING_JOB_NAME", ""),
        report=say,
    )
    network = Network(head, material.backbone, tuned=material.tuned)
    return Trainer(
        network,
        material.batches,
        settings,
        checkpoint=checkpoint,
        stop=stop,
        report=say,
        watchers=watchers,
        facts=material.facts() if watchers else {},
    )


def head_spec(settings: Hyperparameters) -> HeadSpec:
    """The head that the hyperparameters describe."""
    from training_scripts.models.heads import HeadSpec  # noqa: PLC0415 - torch loads

    return HeadSpec(settings.hidden, settings.dropout)


def write_bundle(folder: Path, material: Material, head: nn.Module, judgement: Judgement) -> None:
    """Leaves the trained model in a folder."""
    from training_scripts.models import bundle  # noqa: PLC0415 - torch loads

    description = bundle.write(
        folder,
        backbone_name=material.backbone_name,
        backbone_state=material.backbone_state(),
        head=head,
        head_spec=head_spec(material.settings),
        classes=material.classes,
        preprocessing=material.preprocessing,
        metrics=judgement.metrics,
        temperature=judgement.temperature,
        fingerprint=material.fingerprint,
        hyperparameters=material.settings.to_dict(),
        rejection=judgement.rejection,
        sizes={split: material.batches.size(split) for split in ("train", "valid", "test")},
    )
    say(f"model {description.model_id} written")


if __name__ == "__main__":
    sys.exit(main())
