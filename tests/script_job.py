"""A training job on local SageMaker that runs a script of a test."""

from __future__ import annotations

import shutil
from pathlib import Path

from dogbreed_sdk import Session, TrainingJob


def start_script(script: str, folder: Path, session: Session, **hyperparameters: str) -> TrainingJob:
    """Starts a training job named "failed" that runs a script.

    Args:
        script: Text of train.py.
        folder: An empty folder, for the source and the output.
        session: A local session.
        hyperparameters: JSON-encoded, beside SageMaker's own.
    """
    (folder / "source").mkdir()
    (folder / "source" / "train.py").write_text(script)
    shutil.make_archive(str(folder / "source"), "gztar", folder / "source")
    session.client("sagemaker").create_training_job(
        TrainingJobName="failed",
        RoleArn="arn:aws:iam::000000000000:role/local",
        AlgorithmSpecification={"TrainingImage": "local", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": (folder / "output").as_uri()},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": (folder / "source.tar.gz").as_uri(),
            **hyperparameters,
        },
    )
    return TrainingJob("failed", session)
