"""The commands ``tune`` and ``train``: each starts a job, follows it, and turns its result into an outcome."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from dogbreed_sdk import defaults
from dogbreed_sdk._util.formatting import number
from dogbreed_sdk._util.progress import ProgressCallback
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import trainer_options, training_options
from dogbreed_sdk.cli.argument_types import data_place
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, job_progress, next_steps, note, print_table, say, show
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.attaching import attach_with_model
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import BestTrial, Trial, TuningJob, short
from dogbreed_sdk.session import Session


def add_tune(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed tune``."""
    _job_arguments(command)
    training_options.add_search(command)
    training_options.add_trainer(command, "hpo")


def add_train(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed train``."""
    _job_arguments(command)
    training_options.add_trainer(command, "train_model")
    start = command.add_mutually_exclusive_group()
    start.add_argument("--best-of", metavar="TUNING_JOB", help="start with the best hyperparameters of a tuning job")
    start.add_argument("--resume", metavar="JOB", help="continue from the last checkpoint of a stopped job")
    command.add_argument(
        "--managed-debugger",
        action="store_true",
        help="also turn on Amazon SageMaker Debugger, if the account still has it",
    )
    command.add_argument(
        "--managed-rule",
        action="append",
        dest="managed_rules",
        metavar="NAME",
        help="turn the Debugger on with this rule instead of the default ones; can be repeated. Debugging rules: "
        f"{', '.join(RULES)}; profiling rules: {', '.join(PROFILER_RULES)} (default: "
        f"{', '.join((*defaults.DEBUGGER_RULES, *defaults.DEBUGGER_PROFILER_RULES))})",
    )
    command.add_argument(
        "--managed-set",
        action="append",
        dest="managed_overrides",
        metavar="RULE.PARAMETER=VALUE",
        help="turn the Debugger on with this parameter, by AWS's name for it; can be repeated",
    )


def _job_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data",
        type=data_place,
        metavar="DATA",
        help="a data set with train, valid and test folders: a path, or an s3:// URI, where jobs read it",
    )
    command.add_argument("--name", help="name of the job (default: generated)")
    command.add_argument(
        "--no-wait", action="store_true", help="return as soon as the features are computed and the job has started"
    )


def tune(options: argparse.Namespace) -> Outcome:
    """Searches for hyperparameters and lists the trials."""
    with read.new_sagemaker(options) as session:
        note("Checking the data set …")
        read.check_data(options.data)
        trainer, shared = trainer_options.trainer(options, session)
        with job_progress() as progress:
            job = start_search(options, trainer, shared, progress=progress)
        if options.no_wait:
            return _started(job, command_line(options, "jobs"))
        with job_progress("search") as progress:
            job.wait(progress=progress)
        return tuning_outcome(options, job)


def start_search(
    options: argparse.Namespace, trainer: BreedTrainer, shared: Mapping[str, object], *, progress: ProgressCallback
) -> TuningJob:
    """Starts the search that the options describe.

    Args:
        options: Those of ``tune``.
        trainer: The trainer that they describe.
        shared: The hyperparameters of all trials.
        progress: Called while features are computed.
    """
    return trainer.tune(
        options.data,
        trainer_options.search(options.search),
        hyperparameters=shared,
        **training_options.search_arguments(options),
        warm_start=training_options.warm_start(options),
        search_seed=options.search_seed,
        name=options.name,
        progress=progress,
    )


def tuning_outcome(options: argparse.Namespace, job: TuningJob) -> Outcome:
    """The result of a finished search."""
    best, trials = job.best, job.trials()
    further = [
        command_line(options, "train", options.data, "--best-of", job.name, *training_options.of_instances(options)),
        command_line(options, "report", job.name),
        command_line(options, "classify", job.name, _picture(options.data)),
        command_line(options, "deploy", job.name),
    ]
    document = {
        "name": job.name,
        "status": job.status,
        "hyperparameters": dict(best.hyperparameters),
        "metrics": best.job.final_metrics,
        "seconds": round(job.seconds, 2),
        "best": {
            "name": best.job.name,
            "objective": best.objective,
            "searched": dict(best.searched),
            "hyperparameters": dict(best.hyperparameters),
            "model_uri": best.job.model_uri,
        },
        "trials": [
            {
                "name": trial.name,
                "status": trial.status,
                "hyperparameters": dict(trial.hyperparameters),
                "objective": trial.objective,
                "seconds": None if trial.seconds is None else round(trial.seconds, 2),
            }
            for trial in trials
        ],
        "next": further,
    }

    def text() -> None:
        _print_trials(best, trials)
        show(*_best_lines(job.name, best), *_failure_line(options, trials), *next_steps(further))

    return Outcome(document, text)


def _print_trials(best: BestTrial, trials: list[Trial]) -> None:
    searched = sorted({name for trial in trials for name in trial.hyperparameters})
    print_table(
        ["trial", *searched, "objective", "status", "seconds"],
        [
            [
                trial.name,
                *(short(trial.hyperparameters.get(name)) for name in searched),
                _objective(trial, best),
                trial.status,
                None if trial.seconds is None else f"{trial.seconds:.1f}",
            ]
            for trial in trials
        ],
    )


def _objective(trial: Trial, best: BestTrial) -> str | None:
    if trial.objective is None:
        return None
    return number(trial.objective) + (" *" if trial.name == best.job.name else "")


def _best_lines(name: str, best: BestTrial) -> list[str]:
    chosen = ", ".join(f"{name} {short(value)}" for name, value in sorted(best.searched.items()))
    return [
        f"{name}: the best trial is {best.job.name} (marked *)",
        f"objective {number(best.objective)} with {chosen}",
    ]


def _failure_line(options: argparse.Namespace, trials: list[Trial]) -> list[str]:
    """Why the first failed trial failed; empty if none did."""
    failed = next((trial for trial in trials if trial.status == "Failed"), None)
    if failed is None:
        return []
    log = command_line(options, "logs", failed.name)
    return [f"{failed.name} failed: {diagnose(failed.failure, ()).cause} ({log})"]


def train(options: argparse.Namespace) -> Outcome:
    """Trains one model and prints its metrics."""
    with read.new_sagemaker(options) as session, job_progress() as progress:
        note("Checking the data set …")
        read.check_data(options.data)
        trainer, given = trainer_options.trainer(options, session, _earlier(options, session))
        job = trainer.train(options.data, given, resume=options.resume, name=options.name, progress=progress)
        if options.no_wait:
            return _started(job, command_line(options, "logs", "-f", job.name))
        job.wait(progress=progress)
        return training_outcome(options, job)


def training_outcome(options: argparse.Namespace, job: TrainingJob) -> Outcome:
    """The result of a finished training job."""
    metrics, model_uri, seconds = job.final_metrics, job.model_uri, round(job.seconds, 2)
    further = [
        command_line(options, "report", job.name),
        command_line(options, "classify", job.name, _picture(options.data)),
        command_line(options, "deploy", job.name),
    ]
    document = {
        "name": job.name,
        "status": "Completed",
        "hyperparameters": job.hyperparameters,
        "metrics": metrics,
        "seconds": seconds,
        "model_uri": model_uri,
        "next": further,
    }
    numbers = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
    achieved = [f"{job.name}: Completed in {seconds} s", numbers, f"model: {model_uri}"]
    return Outcome(document, say(*achieved, *next_steps(further)))


def _picture(data: Path | str) -> str:
    """A picture to try a model with; if possible, one that it has not learned from. On S3, none is downloaded."""
    if isinstance(data, str):
        return "PICTURE"
    dataset = BreedDataset.from_folder(data)
    split = next((name for name in ("test", "valid") if name in dataset.folders), "train")
    return str(dataset.pictures(split)[0].path)


def _earlier(options: argparse.Namespace, session: Session) -> dict[str, object]:
    """Hyperparameters of the job to start with, if one was named."""
    if options.resume is not None:
        return TrainingJob(options.resume, session).hyperparameters
    if options.best_of is None:
        return {}
    job = attach_with_model(options.best_of, session)
    if not isinstance(job, TuningJob):
        raise ConfigurationError(f"{options.best_of} is a training job; --best-of takes a tuning job.")
    return dict(job.best.hyperparameters)


def _started(job: TrainingJob | TuningJob, follow: str) -> Outcome:
    text = f"{job.name} is running; to follow it: {follow}"
    document = {
        "name": job.name,
        "status": job.status,
        "hyperparameters": job.hyperparameters if isinstance(job, TrainingJob) else {},
        "metrics": {},
        "seconds": round(job.seconds, 2),
    }
    return Outcome(document, say(text))
