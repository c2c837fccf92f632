"""Operations of SageMaker that programs call beside training and deployment, and that local SageMaker does not have."""

from __future__ import annotations

from collections.abc import Mapping

# Words in operations' names -> why there are none, and what to do instead.
NOT_OFFERED: Mapping[tuple[str, ...], str] = {
    ("ModelPackage", "ModelCard"): "there is no model registry; create the model from its image and artifact",
    ("ProcessingJob",): "there are no processing jobs; run the script itself, or as a training job",
    (
        "Experiment",
        "Trial",
        "Association",
        "Artifact",
        "Action",
        "Context",
        "Lineage",
    ): "there are no experiments; list training jobs",
    ("Search",): "nothing is indexed; list the resources, with NameContains and StatusEquals",
    ("Pipeline",): "there are no pipelines; run their steps in a program",
    ("Monitoring", "QualityJob", "BiasJob", "ExplainabilityJob"): "there is no model monitor",
    ("AutoML", "CompilationJob", "OptimizationJob", "RecommendationsJob"): "models are trained and served as they are",
    ("InferenceComponent",): "an endpoint serves the models of its variants",
    ("FeatureGroup", "FeatureMetadata"): "there is no feature store",
    ("Algorithm", "Hub"): "there is no marketplace and no model hub; pass an image and a script",
    ("Mlflow",): "there is no MLflow server; start one, and pass its address in Environment",
    ("LabelingJob", "Workteam", "Workforce", "FlowDefinition", "HumanTaskUi"): "there is no Ground Truth",
    ("NotebookInstance", "Domain", "UserProfile", "Space"): "there is no Studio; use a notebook on this machine",
    ("Cluster", "TrainingPlan", "ReservedCapacity"): "there is one machine, and no capacity to reserve",
}


def why_not_offered(operation: str) -> str | None:
    """Why local SageMaker does not have an operation; None for names that are not listed."""
    return next((why for words, why in NOT_OFFERED.items() if any(word in operation for word in words)), None)
