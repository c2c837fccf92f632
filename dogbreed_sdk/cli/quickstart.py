"""The command ``quickstart``: the whole life of a model on this machine, step by step."""

from __future__ import annotations

import argparse
import functools
import time
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import serve_command
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, counter, job_progress, next_steps, note, show
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.debugging.report import DebugReport
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.evaluation import Evaluation, evaluate
from dogbreed_sdk.errors import DatasetError
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.predictions import Prediction
from dogbreed_sdk.session import Session
from training_scripts._util.number_text import percent_text, probability_text
from training_scripts.models import efficientnet_lite

# Enough to show a search at work, few enough for a minute and a half on two cores.
MAX_JOBS = 4
EPOCHS = 10
EXAMPLES = 3
INSIGHTS = 3
STEPS = 7
DRAWN = (
    "The model learned from drawings, so it rejects photographs of real dogs; to classify those, train on photographs:"
)
_PACKAGES = (*read.LOCAL_PACKAGES, *efficientnet_lite.packages(defaults.QUICK_BACKBONE, with_weights=True))


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed quickstart``."""
    command.add_argument("--data", type=Path, metavar="DIR", help="your data set (default: drawings of dogs)")


def run(options: argparse.Namespace) -> Outcome:
    """Checks data, searches, trains, deploys, evaluates and classifies; keeps everything for a closer look."""
    start = time.monotonic()
    root = read.root(options)
    optional.require({"local": _PACKAGES}, purpose="train and deploy a model on this machine")
    with Session.local(root) as session:
        _begin_imports()
        dataset = _data(options.data, root)
        trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE)
        note(f"[2/{STEPS}] searching for hyperparameters: {MAX_JOBS} trials of {EPOCHS} epochs on shared features")
        note(f"{defaults.QUICK_BACKBONE} is the fastest backbone; the default of other commands is {defaults.BACKBONE}")
        with job_progress() as progress:
            tuning = trainer.tune(dataset, hyperparameters={"epochs": EPOCHS}, max_jobs=MAX_JOBS, progress=progress)
        with job_progress("search") as progress:
            tuning.wait(progress=progress)
        note(f"[3/{STEPS}] training with the best hyperparameters")
        with job_progress() as progress:
            job = trainer.train(dataset, tuning.best.hyperparameters, progress=progress).wait(progress=progress)
        note(f"[4/{STEPS}] deploying the model to an endpoint")
        with job_progress("endpoint") as progress:
            deployment = job.deploy(wait=False, progress=progress)
            note(f"[5/{STEPS}] reading the recording of the training while the endpoint starts")
            report = DebugReport.load(job)
            page = report.to_html(root / "reports" / f"{job.name}.html")
            deployment.wait(progress=progress)
        examples, measured = _classified(deployment, dataset)
    done = _Finished(
        options=options,
        root=root,
        dataset=dataset,
        tuning=tuning,
        job=job,
        report=report,
        page=page,
        deployment=deployment,
        measured=measured,
        examples=examples,
        seconds=time.monotonic() - start,
    )
    return Outcome(_document(done), lambda: _print(done))


def _begin_imports() -> None:
    """Begin the import of PyTorch for the jobs, which takes seconds, beside work on the data."""
    from dogbreed_sdk.local.jobs.forked_scripts import start_server  # noqa: PLC0415 - no other command needs it

    start_server()


def _data(folder: Path | None, root: Path) -> BreedDataset:
    """The user's data set, or a drawn one; checked, and split if it has no splits."""
    note(f"[1/{STEPS}] " + (f"checking {folder}" if folder else "drawing pictures of dogs and checking them"))
    if folder is None:
        from dogbreed_sdk.datasets.sample.sample import VERSION  # noqa: PLC0415 - imports Pillow

        # A folder per version of the drawings, so that an older sample is not in the way.
        dest = root / "data" / f"sample-dogs-{VERSION}"
        with counter("pictures drawn") as progress:
            dataset = BreedDataset.sample(dest, progress=progress)
    else:
        dataset = BreedDataset.from_folder(folder)
        if not dataset.folders:
            # Named after the content, so that neither another folder of this name nor an older version is used.
            dest = root / "data" / f"{dataset.root.name}-{dataset.fingerprint[:8]}-split"
            note(f"it has no train, valid and test folders; splitting it into {dest}")
            dataset = BreedDataset.from_folder(dest) if dest.exists() else dataset.split(dest)
        missing = [split for split in ("train", "valid", "test") if split not in dataset.folders]
        if missing:
            raise DatasetError(
                f"{dataset.root} has no {' and no '.join(missing)} split. Quickstart needs train, valid and test; a "
                "folder of classes without any split is split for you."
            )
    with counter("pictures checked") as progress:
        report = dataset.check(progress=progress)
    report.raise_for_errors()
    note(*str(report).split("\n"))
    return dataset


def _classified(deployment: Deployment, dataset: BreedDataset) -> tuple[list[tuple[Path, str, Prediction]], Evaluation]:
    """Three predictions for pictures that the model has never seen, and the evaluation on the whole test split."""
    pictures = dataset.pictures("test")
    chosen = [pictures[len(pictures) * place // EXAMPLES] for place in range(min(EXAMPLES, len(pictures)))]
    with deployment.classifier() as classifier:
        note(f"[6/{STEPS}] measuring the model on the test split, which it has never seen")
        with counter("pictures classified") as progress:
            measured = evaluate(classifier, dataset, progress=progress)
        note(f"[7/{STEPS}] classifying {EXAMPLES} pictures")
        examples = [(picture.path, picture.class_folder, classifier.classify(picture.path)) for picture in chosen]
    return examples, measured


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """Everything that was made."""

    options: argparse.Namespace
    root: Path
    dataset: BreedDataset
    tuning: TuningJob
    job: TrainingJob
    report: DebugReport
    page: Path
    deployment: Deployment
    measured: Evaluation
    examples: list[tuple[Path, str, Prediction]]
    seconds: float

    @property
    def next(self) -> list[str]:
        """Commands to try now."""
        name = self.deployment.endpoint_name
        further = functools.partial(command_line, self.options)
        return [
            further("report", self.job.name),
            further("evaluate", name, self.dataset.root, "--html", "mistakes.html"),
            further("classify", name, self.examples[0][0]),
            further("logs", self.job.name),
            self._serve,
            further("delete", name),
        ]

    @property
    def model(self) -> Path:
        """The path of the bundle."""
        return uri_to_path(self.job.model_uri)

    @property
    def _serve(self) -> str:
        served = command_line(None, "serve", "--bundle", self.model)
        lacking = optional.missing(serve_command.PACKAGES)
        return f"{optional.install_command(*lacking)} && {served}" if lacking else served


def _document(done: _Finished) -> dict[str, object]:
    dataset, measured = done.dataset, done.measured
    return {
        "dataset": {"root": str(dataset.root), "classes": list(dataset.classes), "splits": dataset.splits},
        "tuning_job": done.tuning.name,
        "training_job": done.job.name,
        "model_uri": done.job.model_uri,
        "endpoint": done.deployment.endpoint_name,
        "accuracy": measured.accuracy,
        "top5": measured.top5,
        "examples": [
            {"picture": str(path), "truth": truth, **prediction.to_dict()} for path, truth, prediction in done.examples
        ],
        "report": str(done.page),
        "findings": [result.name for result in done.report.rules if result.findings],
        "root": str(done.root),
        "next": done.next,
        "seconds": round(done.seconds, 1),
    }


def _print(done: _Finished) -> None:
    from dogbreed_sdk.debugging.verdict import verdict  # noqa: PLC0415 - needs NumPy

    dataset, measured = done.dataset, done.measured
    splits = ", ".join(f"{split} {count}" for split, count in dataset.splits.items())
    show("", f"Done in {done.seconds:.0f} s:")
    show(f"  data       {len(dataset.classes)} classes ({splits}) in {dataset.root}")
    show(f"  search     {done.tuning.name}: {MAX_JOBS} trials on shared features")
    show(f"  training   {done.job.name}")
    show(f"  model      {done.model}")
    show(f"  endpoint   {done.deployment.endpoint_name}")
    accuracy, top5 = percent_text(measured.accuracy), percent_text(measured.top5)
    show(f"  accuracy   {accuracy} of {measured.n:,} test pictures (top five: {top5})")
    show("", f"The report about its training: {done.page}")
    for line in (verdict(done.report).headline, *(insight.title for insight in done.report.insights()[:INSIGHTS])):
        show(f"  {line}")
    show("", "Predictions for pictures it has never seen:")
    for path, truth, prediction in done.examples:
        mark = "correct" if prediction.class_folder == truth else f"wrong, it is {truth}"
        show(f"  {path.name}: {prediction.label} ({probability_text(prediction.probability)}, {mark})")
    if done.options.data is None:
        show(f"{DRAWN} {command_line(done.options, 'quickstart', '--data', 'FOLDER')}")
    show("", f"Everything is in {done.root}: data, jobs with their logs, features, models.")
    show("The endpoint's model server uses memory until the endpoint is deleted or has been idle for 15 minutes.")
    show(*next_steps(done.next))
