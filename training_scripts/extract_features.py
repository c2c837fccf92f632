"""Entry point of a job that computes a data set's features once, for every later run to train heads on.

The features are written to the checkpoint folder. SageMaker copies it to CheckpointConfig.S3Uri as plain files while
the job runs, and restores it when an interrupted job starts again. Training jobs then use that S3Uri as their
`features` channel.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.atomic import write_atomically
from training_scripts._util.number_text import counted
from training_scripts.features.files import MANIFEST
from training_scripts.training import hyperparameters, processes, runtime
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.processes import PartDone, Place
from training_scripts.training.runtime import say
from training_scripts.training.stop_signal import StopFlag, Stopped, on_sigterm

if TYPE_CHECKING:
    from training_scripts.training.hyperparameters import Hyperparameters

# 128 + SIGTERM, as in shells: a pass that was stopped halfway has not succeeded.
STOPPED_STATUS = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit status: 0, 1 (failed, with a reason) or 143 (stopped; resumes when run again)."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if {"-h", "--help"} & set(arguments):
        print(f"extract_features.py [--name value ...]\n{hyperparameters.describe('extract_features')}")
        return 0
    stop = on_sigterm()
    return processes.run_to_end(lambda: runtime.run_entry_point(lambda: extract(arguments, os.environ, stop)))


def extract(arguments: Sequence[str], environ: Mapping[str, str], stop: StopFlag) -> int:
    """Computes the features, from arguments to manifest."""
    begin = time.time()
    settings = hyperparameters.parse(arguments, entry_point="extract_features")
    runtime.prepare_libraries()
    from training_scripts.recording.recorder.job import pass_callbacks  # noqa: PLC0415 - NumPy loads

    place = processes.place(environ)
    callbacks = pass_callbacks(settings, environ, begin=begin, report=say) if place.is_first else Callbacks()
    try:
        # Its default is meant for training; a pass measures what is best.
        batch_size = settings.batch_size if hyperparameters.is_given("batch-size", arguments) else None
        return _extract(settings, environ, stop, callbacks, place, batch_size=batch_size)
    finally:
        callbacks.run_ends()


def _extract(
    settings: Hyperparameters,
    environ: Mapping[str, str],
    stop: StopFlag,
    callbacks: Callbacks,
    place: Place,
    *,
    batch_size: int | None,
) -> int:
    start = time.monotonic()
    runtime.prepare()

    # Wrong arguments should fail before torch is loaded.
    from training_scripts.data import image_folder, preprocessing  # noqa: PLC0415
    from training_scripts.data.inputs import weights_source  # noqa: PLC0415
    from training_scripts.features.extraction import extract  # noqa: PLC0415
    from training_scripts.models import test_time  # noqa: PLC0415

    folder = runtime.checkpoint_folder(environ)
    try:
        with processes.connected(place, stop) as joined:
            store = extract(
                image_folder.read_dataset(image_folder.split_folders(environ), joined.gather),
                backbone_name=settings.model,
                weights=weights_source(settings.weights, environ),
                views=preprocessing.parse_views(settings.views),
                tta=test_time.checked(settings.tta),
                resize_mode=settings.resize_mode,
                folder=folder,
                precision=settings.precision,
                batch_size=batch_size,
                workers=settings.workers or None,
                report=say,
                check=stop.check,
                callbacks=callbacks,
                processes=joined,
                dtype=settings.features_dtype,
                folders_are_merged=runtime.checkpoints_are_merged(environ),
            )
    except PartDone:
        say("this process's features are computed; the first process has stored all of them")
        return 0
    except Stopped:
        say(f"stopped: the features computed so far are kept in {folder}; the same job resumes there")
        return STOPPED_STATUS
    _write_artifact(store.folder / MANIFEST, environ)
    say(
        f"features: {sum(store.sizes.values())} pictures, {counted(len(store.views), 'view')}, {store.width} wide, "
        f"{time.monotonic() - start:.1f} s, {folder}"
    )
    return 0


def _write_artifact(manifest: Path, environ: Mapping[str, str]) -> None:
    # SageMaker requires a model artifact from every training job; it does not contain the features.
    model = Path(environ.get("SM_MODEL_DIR", runtime.DEFAULT_MODEL_DIR))
    write_atomically(model / manifest.name, manifest.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
