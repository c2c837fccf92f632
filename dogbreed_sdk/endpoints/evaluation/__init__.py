"""Evaluates a classifier on labeled pictures: accuracy, calibration, and its mistakes with their pictures."""

from dogbreed_sdk.endpoints.evaluation.content import ClassResult, ConfusedPair, Mistake, PictureResult
from dogbreed_sdk.endpoints.evaluation.measuring import Classifier, classify_all, evaluate, summarize
from dogbreed_sdk.endpoints.evaluation.outcome import Evaluation, FailedPicture
from dogbreed_sdk.endpoints.evaluation.statistics import (
    CalibrationBin,
    CoveragePoint,
    calibration_error,
)
from training_scripts._util.wilson import wilson as wilson_interval

__all__ = [
    "CalibrationBin",
    "ClassResult",
    "Classifier",
    "ConfusedPair",
    "CoveragePoint",
    "Evaluation",
    "FailedPicture",
    "Mistake",
    "PictureResult",
    "calibration_error",
    "classify_all",
    "evaluate",
    "summarize",
    "wilson_interval",
]
