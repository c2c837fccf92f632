"""What the argument MODEL names: a model server, a bundle, an endpoint or a job."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.aws.requests.names import NAME
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import note, waiting
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.errors import AccessError, ConfigurationError, EndpointNotFoundError, JobError
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session
from training_scripts._util.safe_text import redacted

HELP = (
    "an endpoint, or a training or tuning job for its (best) model, by name; a bundle, such as ./model.tar.gz; "
    "or the URL of a model server"
)
# What runs a bundle here.
BUNDLE_PACKAGES = ("torch",)


@dataclass(frozen=True)
class Model:
    """What MODEL names.

    Attributes:
        kind: What it is; a job's model is a bundle.
        address: The endpoint's name, the bundle's path or file:// URI, or the server's URL.
        session: Where the endpoint lives; None for anything else.
    """

    kind: Literal["endpoint", "bundle", "server"]
    address: str
    session: Session | None = None


def add_labels(command: argparse.ArgumentParser) -> None:
    """The option for models that answer without names."""
    command.add_argument(
        "--labels", type=Path, metavar="PATH", help="a folder of classes or JSON file, for plain endpoints"
    )


@contextmanager
def found(name: str, options: argparse.Namespace) -> Iterator[Model]:
    """What a MODEL argument names, for as long as the block lasts.

    A text with a dot or a slash is a model server's URL or a bundle's path: names on SageMaker have neither. A name
    is an endpoint's, else a job's; where both have it, the endpoint is meant.

    Args:
        name: The argument.
        options: The command's, for the session.

    Raises:
        EndpointNotFoundError: It is nothing of all that.
        ConfigurationError: It cannot be a name, or options that do not fit were given.
        JobError: It is a job without a model.
    """
    if "." in name or "/" in name:
        is_url = name.startswith(("http://", "https://"))
        read.refuse_place(options, f"The {'model server' if is_url else 'bundle'} {redacted(name)}")
        if not is_url:
            _check_bundle(name)
        yield Model("server" if is_url else "bundle", name)
        return
    if not NAME.fullmatch(name):
        bundle = f" For the bundle of that name write ./{name}." if Path(name).exists() else ""
        raise ConfigurationError(f"{name!r} can be no endpoint's or job's name.{bundle}")
    with ExitStack() as scratch:
        with read.sagemaker(options) as session:
            if _is_endpoint(name, session):
                yield Model("endpoint", name, session)
                return
            bundle = _bundle(_job(name, session), scratch)
        yield Model("bundle", bundle)


def _check_bundle(name: str) -> None:
    """Refuses what is not there, before packages that take seconds to load are needed for it."""
    if not (uri_to_path(name) if name.startswith("file:") else Path(name)).exists():
        raise ConfigurationError(
            f"There is no bundle {redacted(name)}. What has a dot or a slash is a bundle's path or a model server's "
            "URL; an endpoint or a job is named without."
        )


@contextmanager
def classifier(options: argparse.Namespace) -> Iterator[BreedClassifier]:
    """The client of what the command's MODEL names."""
    labels = read.labels(options.labels)
    with found(options.model, options) as model:
        if model.kind == "endpoint":
            made = BreedClassifier(model.address, session=model.session, labels=labels)
        elif model.kind == "server":
            made = BreedClassifier.from_server(model.address, labels=labels)
        else:
            with waiting("loading the model"):
                made = BreedClassifier.from_bundle(model.address, labels=labels)
        with made:
            yield made


def _is_endpoint(name: str, session: Session) -> bool:
    try:
        _ = Deployment(name, session).status
    except EndpointNotFoundError:
        return False
    except AccessError:
        return True  # those who may only invoke endpoints may not look for them
    except ConfigurationError as error:  # there is no SageMaker to look in
        raise ConfigurationError(f"{error}{_folder_of(name)}") from error
    return True


def _folder_of(name: str) -> str:
    """What to do where a folder was meant that has the name of an endpoint; empty where there is none."""
    return f" There is a folder of that name here: write ./{name}." if Path(name).is_dir() else ""


def _job(name: str, session: Session) -> TrainingJob:
    try:
        job = BreedTrainer.attach(name, session)
    except JobError as error:
        if error.__cause__ is not None:  # not an absent job: a failed request
            raise
        raise EndpointNotFoundError(
            f"There is no endpoint {name}, and no training or tuning job of that name, in {session!r}. "
            f"See 'dogbreed endpoints' and 'dogbreed jobs'. A bundle is named by its path, as in ./model.tar.gz, a "
            f"model server by its URL.{_folder_of(name)}"
        ) from error
    if not isinstance(job, TuningJob):
        return job
    best = job.best.job
    note(f"the best trial of {name} is {best.name}")
    return best


def _bundle(job: TrainingJob, scratch: ExitStack) -> str:
    """A job's model where it can be opened: its own file, or a copy of what lies on S3."""
    optional.require({"local": BUNDLE_PACKAGES}, purpose="run a job's model here")
    uri = job.model_uri
    if not uri.startswith("s3://"):
        return uri
    folder = scratch.enter_context(scratch_folder("dogbreed-model"))
    with waiting(f"downloading the model of {job.name}"):
        return str(job.download_model(folder))
