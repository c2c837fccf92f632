"""Where a data set's features are stored, and the job that computes them, if one is running."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dogbreed_sdk import container
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import AccessError, JobError
from dogbreed_sdk.jobs.trainer_hyperparameters import OF_FEATURES
from dogbreed_sdk.jobs.training_job import TrainingJob

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.dataset import BreedDataset
    from dogbreed_sdk.session import Session

# Part of the URI: increase it when features are computed or stored differently, so that old ones are unused.
_VERSION = 2
_HYPERPARAMETERS = (*OF_FEATURES, "features-dtype")
# Hyperparameters that were added later: features that were stored before have these values, and keep their URI.
_EARLIER = {"resize-mode": "crop"}
# They change what is recorded about the computation, not the features.
_PROFILING = ("profiler", "profiler-interval-ms", "profile-operators", "profile-steps")
# Part of the names of jobs that compute features.
JOB_NAME: Final = "features"


def features_uri(session: Session, fingerprint: str, settled: Mapping[str, object], *, weights: str) -> str:
    """The folder of a data set's features, which depends on everything that they depend on.

    Args:
        session: Where they are stored.
        fingerprint: The fingerprint of the pictures.
        settled: All hyperparameters of a job that trains on them.
        weights: SHA-256 of the weights file, or an empty string without one.
    """
    what = {key: settled[key] for key in _HYPERPARAMETERS if settled[key] != _EARLIER.get(key)}
    address = repr((_VERSION, fingerprint, weights, sorted(what.items())))
    folder = f"{what['model']}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    return join(session.base_uri, "features", folder)


def features_hyperparameters(settled: Mapping[str, object]) -> dict[str, object]:
    """The hyperparameters of the job that computes the features, from those of a job that trains on them."""
    return {key: settled[key] for key in (*_HYPERPARAMETERS, *_PROFILING) if key in settled}


def taken_from_whole(
    session: Session, dataset: BreedDataset, settled: Mapping[str, object], uri: str, *, weights: str
) -> bool:
    """Stores the features of a data set with an ignore list if those of all its pictures are stored on this machine.

    Args:
        session: Where they are stored.
        dataset: The pictures.
        settled: All hyperparameters of a job that trains on them.
        uri: The folder for the features.
        weights: SHA-256 of the weights file, or an empty string without one.

    Returns:
        Whether they are stored now.
    """
    whole = dataset.fingerprint_with_ignored if session.is_local else None
    if whole is None:
        return False
    from training_scripts.data.image_folder import DataError  # noqa: PLC0415 - only needed here
    from training_scripts.features.store import FeatureStore  # noqa: PLC0415 - likewise
    from training_scripts.features.subset import store_subset  # noqa: PLC0415 - likewise

    source, target = (
        container.uri_to_path(each) for each in (features_uri(session, whole, settled, weights=weights), uri)
    )
    try:
        store = FeatureStore.open(source)
        return not target.exists() and store_subset(store, dataset.listed, target, fingerprint=dataset.fingerprint)
    except (DataError, OSError):
        return False  # a job then computes them, and says what is wrong


def computing_job(session: Session, uri: str) -> TrainingJob | None:
    """The running job that computes the features at a URI: of another program, or of one that was interrupted.

    Args:
        session: Where jobs run.
        uri: The folder of the features.
    """
    client = session.client("sagemaker")
    with translated("look for a job that computes the features already"):
        pages = client.get_paginator("list_training_jobs").paginate(
            NameContains=f"-{JOB_NAME}-", StatusEquals="InProgress"
        )
        for summary in (entry for page in pages for entry in page.get("TrainingJobSummaries", [])):
            job = TrainingJob(summary["TrainingJobName"], session)
            try:
                computed = job.describe().get("CheckpointConfig", {}).get("S3Uri")
            except (AccessError, JobError):
                continue  # somebody else's, or deleted since
            if computed == uri:
                return job
    return None
