"""A program for the v3 SDK: ModelTrainer on two instances with torchrun, then sagemaker.core's resources."""

import json
import random
import sys
from pathlib import Path

import boto3
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import TrainingJob
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode, StoppingCondition
from sagemaker.train.distributed import Torchrun

session = Session()
bucket = session.default_bucket()
role = get_execution_role(session)

data = Path("data")
data.mkdir()
random.seed(0)
rows = [[random.gauss(0, 1) for _ in range(4)] for _ in range(64)]
(data / "train.csv").write_text("".join(f"{sum(row)},{','.join(map(str, row))}\n" for row in rows))

trainer = ModelTrainer(
    training_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5-cpu-py311",
    role=role,
    base_job_name="v3-trainer",
    source_code=SourceCode(source_dir=sys.argv[1], entry_script="train.py", requirements="requirements.txt"),
    distributed=Torchrun(),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=2, volume_size_in_gb=30),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/output"),
    hyperparameters={"epochs": 20, "lr": 0.1, "verbose": False},
)
train_data = InputData(channel_name="train", data_source="data")
trainer.train(input_data_config=[train_data], wait=True, logs=True)

name = trainer._latest_training_job.training_job_name
job = TrainingJob.get(name)
logs = boto3.client("logs")
group = "/aws/sagemaker/TrainingJobs"
for stream in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]:
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    for event in events["events"]:
        print(stream["logStreamName"].split("/")[1][:6], event["message"])
print(
    json.dumps(
        {
            "bucket": bucket,
            "role": role,
            "job": name,
            "status": job.training_job_status,
            "artifacts": job.model_artifacts.s3_model_artifacts,
            "jobs": [each.training_job_name for each in TrainingJob.get_all(name_contains="v3-trainer")],
        }
    )
)
