"""Finds the folders of a recorded run from a job, its name, a folder or a URI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk import container
from dogbreed_sdk.debugging.sources.layout import LOOKED_FOR, Parts, Recording, find
from dogbreed_sdk.errors import RecordingError
from dogbreed_sdk.jobs.managed_results import unfinished

if TYPE_CHECKING:
    from dogbreed_sdk.jobs.training_job import TrainingJob
    from dogbreed_sdk.jobs.tuning_job import TuningJob
    from dogbreed_sdk.session import Session

_NAME_ONE = "Pass a folder, an s3:// or file:// URI, or a training job."
# Names of jobs that SageMaker allows (API reference, CreateTrainingJob).
_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def locate(source: TrainingJob | str | Path, session: Session | None = None) -> Recording:
    """Finds a recorded run.

    Args:
        source: A `TrainingJob`; a folder; an s3:// or file:// URI; the name of a job. A folder takes precedence over
            a job of the same name.
        session: The job's session, which also reads S3. Default: `Session.default()`; for S3, AWS.

    Raises:
        RecordingError: The source does not exist, or contains no recording; the message says why.
    """
    if not isinstance(source, (str, Path)):
        if not hasattr(source, "describe"):
            raise RecordingError(f"{source!r} is not a recording. {_NAME_ONE}")
        return _of_job(source)
    text = str(source)
    if text.startswith(("s3://", "file:")):
        return _of_uri(text, session)
    folder = Path(text).expanduser()
    if folder.exists():
        return _of_folder(folder, text)
    if isinstance(source, Path) or not _JOB_NAME.fullmatch(text):
        raise RecordingError(f"The folder {text} does not exist. {_NAME_ONE}")
    return _of_job(_job_named(text, session))


def job_behind(source: str, session: Session | None = None) -> TrainingJob | TuningJob | None:
    """The job that a source names; None for a folder or a URI.

    Args:
        source: As in `locate`.
        session: The job's session.

    Raises:
        RecordingError: Neither a folder nor a job has this name.
    """
    if source.startswith(("s3://", "file:")) or Path(source).expanduser().exists() or not _JOB_NAME.fullmatch(source):
        return None
    return _job_named(source, session)


def _of_folder(folder: Path, source: str) -> Recording:
    if not folder.is_dir():
        raise RecordingError(f"{source} is a file; pass the folder of the recording.")
    parts = find(folder)
    if not parts:
        raise RecordingError(f"{source} contains no recording. Looked in it and below for {LOOKED_FOR}.")
    return Recording(source, parts)


def _of_uri(uri: str, session: Session | None) -> Recording:
    if uri.startswith("file:"):
        try:
            folder = container.uri_to_path(uri)
        except ValueError as error:
            raise RecordingError(f"{uri!r} is not a file:// URI of this machine.") from error
        if not folder.exists():
            raise RecordingError(f"The folder of {uri} does not exist.")
        return _of_folder(folder, uri)
    from dogbreed_sdk.session import Session as Sessions  # noqa: PLC0415 - folders need none

    parts, problems = _fetched(uri, session or Sessions.aws())
    if not parts:
        raise RecordingError(f"{uri} contains no recording. Looked below it for {LOOKED_FOR}.")
    return Recording(uri, parts, tuple(problems))


def _of_job(job: TrainingJob | TuningJob) -> Recording:
    from dogbreed_sdk.jobs.tuning_job import TuningJob  # noqa: PLC0415 - it needs the search's table of hyperparameters

    if isinstance(job, TuningJob):
        raise RecordingError(
            f"{job.name} is a tuning job, whose trials record nothing, to be fast. 'dogbreed report {job.name}' or its "
            f"report() shows the search. To have a recording, train its best hyperparameters with "
            f"BreedTrainer.train(data, tuning_job.best.hyperparameters) or 'dogbreed train DATA --best-of {job.name}'."
        )
    described = job.describe()
    if unfinished(described):
        described = job.described_with_rules()
    parts, problems = Parts(), []
    for uri in _output_uris(job.name, described):
        more, left_out = _fetched(uri, job.session)
        parts = parts.or_else(more)
        problems += left_out
    if not parts:
        raise RecordingError(_why_nothing(job.name, described))
    return Recording(job.name, parts, tuple(problems), described, lambda name: type(job)(name, job.session).describe())


def _job_named(name: str, session: Session | None) -> TrainingJob | TuningJob:
    from dogbreed_sdk.errors import ConfigurationError, JobError  # noqa: PLC0415
    from dogbreed_sdk.jobs.attaching import OtherKindError, attach_with_model  # noqa: PLC0415 - folders need no job

    try:
        return attach_with_model(name, session)
    except ConfigurationError as error:
        if session is not None:
            raise
        raise RecordingError(
            f"The folder {name} does not exist, and there is no session to look for a job of that name ({error}). Pass "
            "the job's session, as in DebugReport.load(name, session=Session.local(folder)) or session=Session.aws()."
        ) from error
    except JobError as error:
        if isinstance(error, OtherKindError):
            raise RecordingError(str(error)) from error
        raise RecordingError(f"Neither a folder nor a job {name} was found: {error}") from error


def _fetched(uri: str, session: Session) -> tuple[Parts, list[str]]:
    """Finds the parts below a URI; downloads them from S3 first."""
    if uri.startswith("file:"):
        return find(container.uri_to_path(uri)), []
    from dogbreed_sdk.debugging.sources.s3_cache import fetch  # noqa: PLC0415

    folder, problems = fetch(uri, session.storage)
    return find(folder), problems


def _output_uris(name: str, described: Mapping[str, Any]) -> Iterator[str]:
    """URIs where a job's recording may be: the managed service's outputs, then its checkpoints."""
    rules = (*described.get("DebugRuleConfigurations", ()), *described.get("ProfilerRuleConfigurations", ()))
    configured = (
        described.get("DebugHookConfig", {}),
        described.get("ProfilerConfig", {}),
        described.get("OutputDataConfig", {}) if rules else {},
        *rules,
    )
    uris = [f"{entry['S3OutputPath'].rstrip('/')}/{name}" for entry in configured if entry.get("S3OutputPath")]
    checkpoints = described.get("CheckpointConfig", {}).get("S3Uri")
    yield from dict.fromkeys([*uris, *([checkpoints] if checkpoints else [])])


def _why_nothing(name: str, described: Mapping[str, Any]) -> str:
    from dogbreed_sdk._util.polling import FINAL_STATUSES  # noqa: PLC0415
    from dogbreed_sdk.jobs.job import script_hyperparameters  # noqa: PLC0415

    encoded = described.get("HyperParameters", {})
    program = str(container.decode_hyperparameter(encoded.get(container.PROGRAM_HYPERPARAMETER, "")))
    status = described.get("TrainingJobStatus", "")
    if "hpo" in program:
        return (
            f"{name} is a trial of a tuning job, and trials record nothing, to be fast. Train its hyperparameters with "
            "BreedTrainer.train(...) or 'dogbreed train', and report on that job."
        )
    if "extract_features" in program:
        return (
            f"{name} computed features, but their cost was not recorded: its profiler was off, it ran before passes "
            "were profiled, or its folder was deleted. The report of a training job that used them may show the cost."
        )
    if script_hyperparameters(encoded).get("recorder") == "off":
        return f"{name} recorded nothing: its hyperparameter recorder was off. Train again without recorder=off."
    if not any(True for _ in _output_uris(name, described)):
        return (
            f"{name} recorded nothing: it has neither checkpoints (CheckpointConfig), where recordings are kept, nor "
            "Debugger's outputs (DebugHookConfig). Jobs of BreedTrainer.train have checkpoints."
        )
    if status not in FINAL_STATUSES:
        return f"{name} is {status} and has recorded nothing yet. Try again in a moment, or watch it (--watch)."
    reason = str(described.get("FailureReason", "")).strip()
    return (
        f"{name} is {status} and recorded nothing"
        + (f"; it failed before: {reason}" if reason else ", or its recording was deleted")
        + f". Its log says more: dogbreed logs {name}."
    )
