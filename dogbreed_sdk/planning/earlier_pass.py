"""The speed of a backbone in an earlier feature job of a session, which recorded its own cost beside the features."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.planning.instances import machine
from dogbreed_sdk.planning.speed import GIGA_MACS, BackboneSpeed, gpu_work, macs_of
from dogbreed_sdk.planning.work import FEATURES_PROGRAM
from training_scripts.features.files import COST_FILE

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from dogbreed_sdk.session import Session

# Descriptions that are read at most; each is a call to SageMaker.
_MOST_JOBS = 20
# The instance, its neighbors and the pictures were real; the next job's may differ a little.
_UNCERTAINTY_ON_AWS = 1.2
_UNCERTAINTY_HERE = 1.5


def earlier_pass(session: Session, *, model: str) -> BackboneSpeed | None:
    """The speed in the newest completed feature job with a backbone; None if the session has none.

    Args:
        session: Where jobs are looked up; nothing is created.
        model: Name of the backbone.

    Raises:
        AccessError: Credentials or a permission (ListTrainingJobs, DescribeTrainingJob, GetObject) are missing.
        JobError: SageMaker refused.
    """
    client = session.client("sagemaker")
    with translated("look up earlier feature jobs"):
        pages = client.get_paginator("list_training_jobs").paginate(
            NameContains="features", StatusEquals="Completed", SortBy="CreationTime", SortOrder="Descending"
        )
        names = (entry["TrainingJobName"] for page in pages for entry in page["TrainingJobSummaries"])
        for name in itertools.islice(names, _MOST_JOBS):
            described = client.describe_training_job(TrainingJobName=name)
            speed = _speed(described, model, session) if _has_backbone(described, model) else None
            if speed is not None:
                return speed
    return None


def _has_backbone(described: DescribeTrainingJobResponseTypeDef, model: str) -> bool:
    given = described.get("HyperParameters", {})
    return FEATURES_PROGRAM in given.get("sagemaker_program", "") and given.get("model", "").strip('"') == model


def _speed(described: DescribeTrainingJobResponseTypeDef, model: str, session: Session) -> BackboneSpeed | None:
    uri = described.get("CheckpointConfig", {}).get("S3Uri", "")
    content = session.storage.read_bytes(join(uri, COST_FILE)) if uri else None
    try:
        cost: Mapping[str, Any] = json.loads(content or b"")
        pictures, views, cores = int(cost["pictures"]), int(cost["views"]), float(cost["cores"])
        decoding, forward, device = float(cost["decoding"]), float(cost["forward"]), str(cost["device"])
    except (ValueError, TypeError, KeyError):
        return None  # of another version, or incompletely written
    if min(pictures, views, cores, decoding, forward) <= 0:
        return None  # its features had been computed before
    if cost.get("precision", "fp32") != "fp32":
        return None  # exact features take about twice as long
    instance_type = described["ResourceConfig"].get("InstanceType", "")
    place = None if session.is_local else machine(instance_type)
    if device == "cpu":
        seconds = forward / views * (cores if place is None else place.cores)
        work = gpu_work(GIGA_MACS.get(model, macs_of(seconds)))
    elif place is not None and place.has_gpu:
        work = forward / views * place.gpu_tflops * 1e3
        seconds = BackboneSpeed.from_table(model).forward_seconds if model in GIGA_MACS else 0.0
    else:
        return None  # a GPU that says nothing about an instance's
    where = "this machine" if session.is_local else instance_type
    return BackboneSpeed(
        backbone=model,
        decode_seconds=decoding / pictures,
        forward_seconds=seconds,
        gpu_giga_flop=work,
        uncertainty=_UNCERTAINTY_HERE if session.is_local else _UNCERTAINTY_ON_AWS,
        source=f"the job {described['TrainingJobName']}, which took {pictures:,} pictures on {where}",
    )
