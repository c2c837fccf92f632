"""What SageMaker's description of a training job adds to the model card of its bundle."""

from __future__ import annotations

import contextlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import seconds
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.jobs.training_progress import job_seconds
from training_scripts.features.files import COST_FILE

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from dogbreed_sdk.session import Session

# The channels with pictures; `features` and `weights` hold something else.
_PICTURES = ("training", "train", "valid", "test")


def job_facts(described: DescribeTrainingJobResponseTypeDef, *, is_local: bool) -> dict[str, str]:
    """Facts about the training, by name.

    Args:
        described: SageMaker's description of the job.
        is_local: Whether local SageMaker ran it, on a machine other than the instance type says.
    """
    resources = described.get("ResourceConfig", {})
    instances = f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', 'unknown')}"
    facts = {
        "Training job": described["TrainingJobName"],
        "Machine": "that of local SageMaker" if is_local else instances,
        "Duration": seconds(job_seconds(described)),
    }
    ended = described.get("TrainingEndTime")
    if ended:
        facts["Date"] = f"{ended:%Y-%m-%d}"
    return facts


def data_source(described: DescribeTrainingJobResponseTypeDef, session: Session) -> str:
    """From where the job read its pictures, or the job that computed its features; empty if that is unknown.

    People pass cards on, so of a folder on this machine only the name is given.
    """
    uris = [uri for name in _PICTURES if (uri := _uri(described, name))]
    features = _uri(described, "features")
    if not uris and features:
        computing = _computing_job(features, session)
        return data_source(computing, session) if computing else ""
    shown = (uri if uri.startswith("s3://") else PurePosixPath(uri).name for uri in uris)
    return ", ".join(dict.fromkeys(shown))


def _uri(described: DescribeTrainingJobResponseTypeDef, name: str) -> str:
    """The URI of a channel; empty if the job lacks it."""
    for channel in described.get("InputDataConfig", []):
        if channel["ChannelName"] == name:
            return str(channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))
    return ""


def _computing_job(uri: str, session: Session) -> DescribeTrainingJobResponseTypeDef | None:
    """The job that computed the features at a URI; None if it is unknown, was deleted, or may not be read."""
    with contextlib.suppress(DogBreedError, ValueError, TypeError, KeyError):
        record = json.loads(session.storage.read_bytes(join(uri, COST_FILE)) or b"{}")
        with translated("read the job that computed the features"):
            return session.client("sagemaker").describe_training_job(TrainingJobName=str(record["job"]))
    return None
