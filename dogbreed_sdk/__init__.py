"""dogbreed-sdk: the whole life of an image classifier, on Amazon SageMaker or on one machine.

The names in ``__all__`` are the contract; each is loaded on first use (PEP 562), so that importing this package
costs milliseconds and an app that only calls an endpoint never loads what training needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dogbreed_sdk._version import __version__ as __version__

if TYPE_CHECKING:
    from dogbreed_sdk._util.progress import JobProgress
    from dogbreed_sdk.aws.prices import PriceTable
    from dogbreed_sdk.aws.requests.autoscaling import Autoscaling, CustomMetric
    from dogbreed_sdk.aws.requests.tuning import CompletionCriteria, Hyperband, WarmStart
    from dogbreed_sdk.aws.requests.updates import Rollout
    from dogbreed_sdk.aws.vpc import Vpc
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.detection import Detection
    from dogbreed_sdk.client.explanation import Explanation
    from dogbreed_sdk.client.preprocessor import Preprocessor
    from dogbreed_sdk.datasets.dataset import BreedDataset
    from dogbreed_sdk.debugging.report import DebugReport
    from dogbreed_sdk.endpoints.creation import deploy
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.endpoints.evaluation import Evaluation, Mistake, evaluate
    from dogbreed_sdk.endpoints.kinds import Asynchronous, DataCapture, Serverless
    from dogbreed_sdk.errors import (
        AccessError,
        ConfigurationError,
        DatasetError,
        DogBreedError,
        EndpointError,
        EndpointNotFoundError,
        EndpointNotReadyError,
        EndpointTimeoutError,
        ImageDownloadError,
        ImageError,
        JobError,
        JobFailedError,
        JobStoppedError,
        LabelError,
        ModelError,
        PayloadTooLargeError,
        QuotaError,
        RecordingError,
        ThrottledError,
        UnsupportedImageError,
    )
    from dogbreed_sdk.jobs.attaching import attach
    from dogbreed_sdk.jobs.batch_transform import transform
    from dogbreed_sdk.jobs.job_options import JobOptions, Spot
    from dogbreed_sdk.jobs.managed_debugger import Debugger
    from dogbreed_sdk.jobs.published_weights import weights_problem
    from dogbreed_sdk.jobs.trainer import BreedTrainer
    from dogbreed_sdk.jobs.training_job import TrainingJob
    from dogbreed_sdk.jobs.transform_job import TransformJob
    from dogbreed_sdk.jobs.tuning_job import TuningJob
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.local import LocalSageMaker
    from dogbreed_sdk.model_cards.card import ModelCard
    from dogbreed_sdk.monitoring.answers import Baseline
    from dogbreed_sdk.monitoring.report import MonitorReport, monitor
    from dogbreed_sdk.planning.dataset_size import DatasetSize
    from dogbreed_sdk.planning.plan import Plan
    from dogbreed_sdk.predictions import BreedScore, Prediction
    from dogbreed_sdk.recording.recorder import Recorder
    from dogbreed_sdk.resources.cleanup import CleanupPlan, CleanupResult, plan_cleanup
    from dogbreed_sdk.resources.listing import list_resources
    from dogbreed_sdk.resources.resource import Resource, ResourceList
    from dogbreed_sdk.reviewing.review import DataReview, review
    from dogbreed_sdk.session import Session

_HOMES = {
    "AccessError": "errors",
    "AsyncBreedClassifier": "client.async_classifier",
    "Asynchronous": "endpoints.kinds",
    "Autoscaling": "aws.requests.autoscaling",
    "Baseline": "monitoring.answers",
    "BreedClassifier": "client.classifier",
    "BreedDataset": "datasets.dataset",
    "BreedScore": "predictions",
    "BreedTrainer": "jobs.trainer",
    "CleanupPlan": "resources.cleanup",
    "CleanupResult": "resources.cleanup",
    "CompletionCriteria": "aws.requests.tuning",
    "ConfigurationError": "errors",
    "CustomMetric": "aws.requests.autoscaling",
    "DataCapture": "endpoints.kinds",
    "DataReview": "reviewing.review",
    "DatasetError": "errors",
    "DatasetSize": "planning.dataset_size",
    "DebugReport": "debugging.report",
    "Debugger": "jobs.managed_debugger",
    "Deployment": "endpoints.deployment",
    "Detection": "client.detection",
    "DogBreedError": "errors",
    "EndpointError": "errors",
    "EndpointNotFoundError": "errors",
    "EndpointNotReadyError": "errors",
    "EndpointTimeoutError": "errors",
    "Evaluation": "endpoints.evaluation",
    "Explanation": "client.explanation",
    "Hyperband": "aws.requests.tuning",
    "ImageDownloadError": "errors",
    "ImageError": "errors",
    "JobError": "errors",
    "JobFailedError": "errors",
    "JobOptions": "jobs.job_options",
    "JobProgress": "_util.progress",
    "JobStoppedError": "errors",
    "LabelError": "errors",
    "LabelMap": "labels",
    "LocalSageMaker": "local",
    "Mistake": "endpoints.evaluation",
    "ModelCard": "model_cards.card",
    "ModelError": "errors",
    "MonitorReport": "monitoring.report",
    "PayloadTooLargeError": "errors",
    "Plan": "planning.plan",
    "Prediction": "predictions",
    "Preprocessor": "client.preprocessor",
    "PriceTable": "aws.prices",
    "QuotaError": "errors",
    "Recorder": "recording.recorder",
    "RecordingError": "errors",
    "Serverless": "endpoints.kinds",
    "Resource": "resources.resource",
    "ResourceList": "resources.resource",
    "Rollout": "aws.requests.updates",
    "Session": "session",
    "Spot": "jobs.job_options",
    "ThrottledError": "errors",
    "TrainingJob": "jobs.training_job",
    "TransformJob": "jobs.transform_job",
    "TuningJob": "jobs.tuning_job",
    "UnsupportedImageError": "errors",
    "Vpc": "aws.vpc",
    "WarmStart": "aws.requests.tuning",
    "attach": "jobs.attaching",
    "deploy": "endpoints.creation",
    "evaluate": "endpoints.evaluation",
    "list_resources": "resources.listing",
    "plan_cleanup": "resources.cleanup",
    "monitor": "monitoring.report",
    "review": "reviewing.review",
    "transform": "jobs.batch_transform",
    "weights_problem": "jobs.published_weights",
}

__all__ = [
    "AccessError",
    "AsyncBreedClassifier",
    "Asynchronous",
    "Autoscaling",
    "Baseline",
    "BreedClassifier",
    "BreedDataset",
    "BreedScore",
    "BreedTrainer",
    "CleanupPlan",
    "CleanupResult",
    "CompletionCriteria",
    "ConfigurationError",
    "CustomMetric",
    "DataCapture",
    "DataReview",
    "DatasetError",
    "DatasetSize",
    "DebugReport",
    "Debugger",
    "Deployment",
    "Detection",
    "DogBreedError",
    "EndpointError",
    "EndpointNotFoundError",
    "EndpointNotReadyError",
    "EndpointTimeoutError",
    "Evaluation",
    "Explanation",
    "Hyperband",
    "ImageDownloadError",
    "ImageError",
    "JobError",
    "JobFailedError",
    "JobOptions",
    "JobProgress",
    "JobStoppedError",
    "LabelError",
    "LabelMap",
    "LocalSageMaker",
    "Mistake",
    "ModelCard",
    "ModelError",
    "MonitorReport",
    "PayloadTooLargeError",
    "Plan",
    "Prediction",
    "Preprocessor",
    "PriceTable",
    "QuotaError",
    "Recorder",
    "RecordingError",
    "Resource",
    "ResourceList",
    "Rollout",
    "Serverless",
    "Session",
    "Spot",
    "ThrottledError",
    "TrainingJob",
    "TransformJob",
    "TuningJob",
    "UnsupportedImageError",
    "Vpc",
    "WarmStart",
    "attach",
    "deploy",
    "evaluate",
    "list_resources",
    "monitor",
    "plan_cleanup",
    "review",
    "transform",
    "weights_problem",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
