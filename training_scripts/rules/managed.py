"""The rules of SageMaker's own Debugger, as our rules declare them.

Written by `python docs/generate.py`: change the declaration of a rule instead. It stands apart from them because a
client that asks for the managed Debugger need not have NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping

DEBUGGING_RULES: Mapping[str, tuple[str, ...]] = {
    "VanishingGradient": ("gradients",),
    "ExplodingTensor": ("losses", "weights", "gradients"),
    "AllZero": ("weights",),
    "TensorVariance": ("weights",),
    "LossNotDecreasing": ("losses",),
    "Overfit": ("losses",),
    "Overtraining": ("losses",),
    "PoorWeightInitialization": ("losses", "weights", "gradients"),
    "DeadRelu": ("relu_output",),
    "SaturatedActivation": ("sigmoid_input", "tanh_input"),
    "WeightUpdateRatio": ("weights",),
    "UnchangedTensor": ("weights",),
    "ClassImbalance": ("labels", "predictions"),
    "Confusion": ("labels", "predictions"),
    "CheckInputImages": ("inputs",),
    "SimilarAcrossRuns": ("losses",),
    "StalledTrainingRule": ("losses",),
}
"""AWS's debugging rules -> the tensor collections they read (developer guide, List of Debugger built-in rules)."""

PROFILING_RULES: tuple[str, ...] = (
    "LowGPUUtilization",
    "CPUBottleneck",
    "IOBottleneck",
    "BatchSize",
    "GPUMemoryIncrease",
    "LoadBalancing",
    "StepOutlier",
    "MaxInitializationTime",
    "Dataloader",
    "OverallSystemUsage",
    "OverallFrameworkMetrics",
)
"""AWS's profiling rules."""
