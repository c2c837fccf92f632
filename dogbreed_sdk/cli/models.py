"""Resolves the argument MODEL: an endpoint, a training or tuning job, a bundle, or a model server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.aws.requests.names import NAME
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import note, waiting
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.errors import AccessError, ConfigurationError, EndpointNotFoundError, JobError
from dogbreed_sdk.session import Session
from training_scripts._util.safe_text import redacted

if TYPE_CHECKING:
    from dogbreed_sdk.jobs.training_job import TrainingJob

HELP = (
    "name of an endpoint, or of a training or tuning job for its (best) model; path of a bundle, such as "
    "./model.tar.gz; or URL of a model server"
)
# The packages that run a bundle on this machine.
BUNDLE_PACKAGES = ("torch",)


@dataclass(frozen=True)
class Model:
    """What MODEL refers to.

    Attributes:
        kind: Its kind; a job's model is a bundle.
        address: The endpoint's name, the bundle's path or file:// URI, or the server's URL.
        session: The session of an endpoint; None for the other kinds.
    """

    kind: Literal["endpoint", "bundle", "server"]
    address: str
    session: Session | None = None


def add_labels(command: argparse.ArgumentParser) -> None:
    """Adds the option for models that answer without class names."""
    command.add_argument(
        "--labels",
        type=Path,
        metavar="PATH",
        help="class names, for models that return scores without names: a folder with one folder per class, or a JSON "
        "file",
    )


@contextmanager
def found(name: str, options: argparse.Namespace) -> Iterator[Model]:
    """What a MODEL argument refers to, usable within the block.

    A text with a dot or a slash is a model server's URL or a bundle's path: names on SageMaker contain neither. Any
    other text is the name of an endpoint or of a job; if both have it, the endpoint is used.

    Args:
        name: The argument.
        options: The command's, for the session.

    Raises:
        EndpointNotFoundError: There is neither an endpoint nor a job of that name.
        ConfigurationError: The name is not valid, the bundle does not exist, or an option does not apply.
        JobError: The job has no model.
    """
    if "." in name or "/" in name:
        is_url = name.startswith(("http://", "https://"))
        read.refuse_place(options, f"The {'model server' if is_url else 'bundle'} {redacted(name)}")
        if not is_url:
            _check_bundle(name)
        yield Model("server" if is_url else "bundle", name)
        return
    if not NAME.fullmatch(name):
        bundle = f" If you mean the bundle {name}, write ./{name}." if Path(name).exists() else ""
        raise ConfigurationError(f"{name!r} is not a valid name of an endpoint or a job.{bundle}")
    with ExitStack() as scratch:
        with read.sagemaker(options) as session:
            if _is_endpoint(name, session):
                yield Model("endpoint", name, session)
                return
            bundle = _bundle(training_job(name, session), scratch)
        yield Model("bundle", bundle)


def _check_bundle(name: str) -> None:
    """Refuses a missing bundle, before packages are imported that take seconds to load."""
    if not (uri_to_path(name) if name.startswith("file:") else Path(name)).exists():
        raise ConfigurationError(
            f"There is no bundle {redacted(name)}. A text with a dot or a slash is a bundle's path or a model server's "
            "URL; names of endpoints and jobs contain neither."
        )


def shown(place: object) -> str:
    """A model or folder for a page, which people pass on: of a path on this machine, the last part only."""
    text = redacted(str(place))
    return text if text.startswith("s3://") else Path(text).name or Path(text).resolve().name


@contextmanager
def classifier(options: argparse.Namespace) -> Iterator[BreedClassifier]:
    """The client of the command's MODEL."""
    labels = read.labels(options.labels)
    with found(options.model, options) as model:
        if model.kind == "endpoint":
            from dogbreed_sdk.endpoints.deployment import Deployment  # noqa: PLC0415 - loads boto3; bundles need none

            assert model.session is not None
            made = Deployment(model.address, model.session).classifier(labels=labels)
        elif model.kind == "server":
            made = BreedClassifier.from_server(model.address, labels=labels)
        else:
            from training_scripts.training import runtime  # noqa: PLC0415 - bundles only

            runtime.prepare_libraries()
            with waiting("loading the model"):
                made = BreedClassifier.from_bundle(model.address, labels=labels)
        with made:
            yield made


def _is_endpoint(name: str, session: Session) -> bool:
    from dogbreed_sdk.endpoints.deployment import Deployment  # noqa: PLC0415 - as above

    try:
        _ = Deployment(name, session).status
    except EndpointNotFoundError:
        return False
    except AccessError:
        return True  # a role may be allowed to invoke endpoints, but not to describe them
    except ConfigurationError as error:  # there is no SageMaker to ask
        raise ConfigurationError(f"{error}{_folder_of(name)}") from error
    return True


def _folder_of(name: str) -> str:
    """A hint if the name passed for an endpoint is that of a folder; empty otherwise."""
    return f" If you mean the folder {name}, write ./{name}." if Path(name).is_dir() else ""


def training_job(name: str, session: Session) -> TrainingJob:
    """The training job of that name, or the best one of a search.

    Raises:
        EndpointNotFoundError: The job does not exist.
        JobError: The search has no best job yet.
    """
    from dogbreed_sdk.jobs.attaching import attach_with_model  # noqa: PLC0415 - as above
    from dogbreed_sdk.jobs.tuning_job import TuningJob  # noqa: PLC0415 - as above

    try:
        job = attach_with_model(name, session)
    except JobError as error:
        if error.__cause__ is not None:  # not an absent job: a failed request
            raise
        raise EndpointNotFoundError(
            f"There is no endpoint {name}, and no training or tuning job of that name, in {session!r}. "
            f"'dogbreed endpoints' and 'dogbreed jobs' list them. For a bundle pass its path, such as ./model.tar.gz; "
            f"for a model server its URL.{_folder_of(name)}"
        ) from error
    if not isinstance(job, TuningJob):
        return job
    best = job.best.job
    note(f"the best trial of {name} is {best.name}")
    return best


def _bundle(job: TrainingJob, scratch: ExitStack) -> str:
    """The path or file:// URI of a job's model; one on S3 is downloaded."""
    optional.require({"local": BUNDLE_PACKAGES}, purpose="run a job's model on this machine")
    uri = job.model_uri
    if not uri.startswith("s3://"):
        return uri
    folder = scratch.enter_context(scratch_folder("dogbreed-model"))
    with waiting(f"downloading the model of {job.name}"):
        return str(job.download_model(folder))
