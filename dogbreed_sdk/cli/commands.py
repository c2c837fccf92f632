"""The commands for jobs and endpoints: each calls the library and turns the result into an outcome.

To add a command, start at `parser.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from dogbreed_sdk._util.progress import ProgressCallback
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import training_options
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import (
    ENDED,
    Outcome,
    confirm,
    job_progress,
    next_steps,
    note,
    print_table,
    say,
    show,
)
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints import deployment
from dogbreed_sdk.errors import ConfigurationError, EndpointNotFoundError, JobError
from dogbreed_sdk.jobs.attaching import attach
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.job import Job
from dogbreed_sdk.jobs.listing import newest_jobs
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.jobs.tuning_job import BestTrial, Trial, TuningJob, short
from dogbreed_sdk.session import Session
from training_scripts._util.safe_text import safe_lines, without_secrets


def tune(options: argparse.Namespace) -> Outcome:
    """Searches for hyperparameters and lists the trials."""
    with read.new_sagemaker(options) as session:
        note("Checking the data set …")
        read.check_data(options.data)
        trainer, shared = read.trainer(options, session)
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
        read.search(options.search),
        hyperparameters=shared,
        **training_options.search_arguments(options),
        warm_start=training_options.warm_start(options),
        random_seed=options.search_seed,
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
                f"{trial.objective:.4f} *" if trial.name == best.job.name else trial.objective,
                trial.status,
                None if trial.seconds is None else f"{trial.seconds:.1f}",
            ]
            for trial in trials
        ],
    )


def _best_lines(name: str, best: BestTrial) -> list[str]:
    chosen = ", ".join(f"{name} {short(value)}" for name, value in sorted(best.searched.items()))
    return [
        f"{name}: the best trial is {best.job.name} (marked *)",
        f"objective {best.objective:.4f} with {chosen}",
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
        trainer, given = read.trainer(options, session, _earlier(options, session))
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


def jobs(options: argparse.Namespace) -> Outcome:
    """Lists the newest jobs of each kind."""
    with read.sagemaker(options) as session:
        found = newest_jobs(session, None if options.all else options.limit)
    for kind, count in found.left_out.items():
        shown = sum(job["kind"] == kind for job in found.jobs)
        what = f"the newest {shown:,}" if count is None else f"{shown:,} of {shown + count:,}"
        note(f"{what} {kind} jobs are listed; to list all: {command_line(options, 'jobs', '--all')}")
    empty = f"no jobs yet; to start one: {command_line(options, 'train')} DATA"
    return _listing(found.jobs, empty=empty)


def logs(options: argparse.Namespace) -> Outcome:
    """Prints a job's log."""
    with read.sagemaker(options) as session:
        job = attach(options.job, session)
        if isinstance(job, TuningJob):
            names = ", ".join(trial.name for trial in job.trials()[-3:])
            raise ConfigurationError(f"{job.name} is a tuning job; print the log of a trial. The latest are {names}.")
        lines = job.logs(follow=options.follow)
        if options.json:
            return Outcome({"name": job.name, "lines": [without_secrets(line) for line in lines]}, say())
        for line in lines:
            print(safe_lines(line), flush=options.follow)
        return Outcome(None, say(), quiet=True)


def stop(options: argparse.Namespace) -> Outcome:
    """Stops a job, if it has not ended."""
    with read.sagemaker(options) as session:
        job = attach(options.job, session)
        status = job.status
        if status in ENDED:
            text = f"{job.name} has ended ({status}): there is nothing to stop"
            return Outcome({"name": job.name, "status": status}, say(text))
        job.stop()
        status = job.status
    return Outcome({"name": job.name, "status": status}, say(f"{job.name}: {status}"))


def endpoints(options: argparse.Namespace) -> Outcome:
    """Lists endpoints."""
    with read.sagemaker(options) as session:
        found = deployment.list_endpoints(session)
    rows = [
        {
            "name": entry["EndpointName"],
            "status": entry["EndpointStatus"],
            "created": entry["CreationTime"].isoformat(timespec="seconds"),
        }
        for entry in found
    ]
    return _listing(rows, empty="no endpoints")


def delete(options: argparse.Namespace) -> Outcome:
    """Deletes an endpoint with its configuration and model, or a job with its files."""
    with read.sagemaker(options) as session:
        if options.job:
            return _delete_job(options, attach(options.name, session))
        found = deployment.Deployment(options.name, session)
        try:
            status = found.status
        except EndpointNotFoundError as error:
            job = _job_or_none(options.name, session)
            if job is None:
                found.delete()  # configuration and model may be left of an endpoint that is gone
                raise EndpointNotFoundError(f"{error} There is no job of that name either.") from error
            return _delete_job(options, job)
        found.delete()
    return Outcome({"deleted": options.name, "was": status}, say(f"deleted endpoint {options.name}; it was {status}"))


_KINDS: Mapping[type[Job], str] = {TrainingJob: "training", TuningJob: "tuning", TransformJob: "transform"}


def _job_or_none(name: str, session: Session) -> TrainingJob | TuningJob | TransformJob | None:
    try:
        return attach(name, session)
    except JobError:
        return None


def _delete_job(options: argparse.Namespace, job: TrainingJob | TuningJob | TransformJob) -> Outcome:
    status, sizes = job.status, job.stored_sizes()
    trials = f" and its {_counted(len(job.trials()), 'training job')}" if isinstance(job, TuningJob) else ""
    what = (
        f"{_KINDS[type(job)]} job {job.name}{trials} with {_counted(len(sizes), 'file')} ({sum(sizes) / 1e6:,.1f} MB)"
    )
    if not options.yes:
        confirm(f"Delete {what}?", otherwise="--yes")
    count = job.delete()
    document = {"deleted": job.name, "was": status, "files": count, "bytes": sum(sizes)}
    return Outcome(document, say(f"deleted {what}; it was {status}"))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _earlier(options: argparse.Namespace, session: Session) -> dict[str, object]:
    """Hyperparameters of the job to start with, if one was named."""
    if options.resume is not None:
        return TrainingJob(options.resume, session).hyperparameters
    if options.best_of is None:
        return {}
    job = BreedTrainer.attach(options.best_of, session)
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


def _moment(key: str, value: object) -> object:
    """A cell of a listing: times are cut to the minute, to leave room for names."""
    return str(value)[:16].replace("T", " ") if key == "created" else value


def _listing(rows: Sequence[Mapping[str, object]], *, empty: str) -> Outcome:
    def text() -> None:
        if rows:
            print_table(list(rows[0]), [[_moment(key, value) for key, value in row.items()] for row in rows])
        else:
            show(empty)

    return Outcome(rows, text)
