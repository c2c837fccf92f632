"""A program for plain boto3: train from manifest files, endpoint, asynchronous endpoint, batch transform, delete."""

import io
import json
import random
import sys
import tarfile
import time
from pathlib import Path

import boto3

source = Path(sys.argv[1])
session = boto3.Session()
region = session.region_name
s3, sagemaker, runtime = session.client("s3"), session.client("sagemaker"), session.client("sagemaker-runtime")
account = session.client("sts").get_caller_identity()["Account"]
role = session.client("iam").get_role(RoleName="dogbreed-local")["Role"]["Arn"]
bucket = f"sagemaker-{region}-{account}"
facts = {"account": account, "role": role}


def archive(**members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


try:
    s3.head_bucket(Bucket=bucket)
except s3.exceptions.ClientError:
    s3.create_bucket(Bucket=bucket)

# Data: four parts, of which a manifest names three.
random.seed(0)
for part in range(4):
    rows = [[random.gauss(0, 1) for _ in range(3)] for _ in range(10)]
    body = "".join(f"{row[0] + 2 * row[1] - row[2]},{','.join(map(str, row))}\n" for row in rows)
    s3.put_object(Bucket=bucket, Key=f"data/part-{part}.csv", Body=body.encode())
manifest = [{"prefix": f"s3://{bucket}/data/"}, "part-0.csv", "part-1.csv", "part-2.csv"]
s3.put_object(Bucket=bucket, Key="data.manifest", Body=json.dumps(manifest).encode())
s3.put_object(
    Bucket=bucket,
    Key="code/sourcedir.tar.gz",
    Body=archive(**{"regression.py": (source / "regression.py").read_bytes()}),
)

job = "boto3-regression"
sagemaker.create_training_job(
    TrainingJobName=job,
    RoleArn=role,
    AlgorithmSpecification={
        "TrainingImage": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5-cpu-py311",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "train:error", "Regex": r"train_error=([0-9.]+);"}],
    },
    HyperParameters={
        "sagemaker_program": '"regression.py"',
        "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/code/sourcedir.tar.gz"),
        "ridge": "0.001",
    },
    InputDataConfig=[
        {
            "ChannelName": "training",
            "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"s3://{bucket}/data.manifest"}},
        }
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
    CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"},
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
    Tags=[{"Key": "project", "Value": "conformance"}],
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(
    TrainingJobName=job, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
)
description = sagemaker.describe_training_job(TrainingJobName=job)
facts["training"] = description["TrainingJobStatus"], description.get("FailureReason")
facts["metric"] = description["FinalMetricDataList"][0]["MetricName"]
facts["checkpoint"] = s3.get_object(Bucket=bucket, Key="checkpoints/weights.json")["Body"].read().decode()
logs = session.client("logs")
stream = logs.describe_log_streams(
    logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/"
)["logStreams"][0]["logStreamName"]
events = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream, startFromHead=True)
facts["log"] = [event["message"] for event in events["events"] if event["message"].startswith("rows=")]

# The model: what the job wrote, with code beside it.
with tarfile.open(
    fileobj=io.BytesIO(
        s3.get_object(Bucket=bucket, Key=description["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3])[
            "Body"
        ].read()
    )
) as tar:
    weights = tar.extractfile("weights.json").read()
members = {"weights.json": weights, "code/inference.py": (source / "inference.py").read_bytes()}
s3.put_object(Bucket=bucket, Key="model/model.tar.gz", Body=archive(**members))
sagemaker.create_model(
    ModelName="regression",
    ExecutionRoleArn=role,
    PrimaryContainer={
        "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.5-cpu-py311",
        "ModelDataUrl": f"s3://{bucket}/model/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
    },
)
variant = {
    "VariantName": "AllTraffic",
    "ModelName": "regression",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 1,
}
sagemaker.create_endpoint_config(EndpointConfigName="regression", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="regression", EndpointConfigName="regression")
sagemaker.create_endpoint_config(
    EndpointConfigName="regression-async",
    ProductionVariants=[variant],
    AsyncInferenceConfig={
        "OutputConfig": {"S3OutputPath": f"s3://{bucket}/async", "S3FailurePath": f"s3://{bucket}/async-failures"}
    },
)
sagemaker.create_endpoint(EndpointName="regression-async", EndpointConfigName="regression-async")
for endpoint in ("regression", "regression-async"):
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


def invoke(body, content_type, accept):
    answer = runtime.invoke_endpoint(EndpointName="regression", Body=body, ContentType=content_type, Accept=accept)
    return answer["Body"].read(), answer["ContentType"]


text, content_type = invoke(b"1,1,1\n0,0,1\n", "text/csv", "application/json")
facts["json"] = json.loads(text)
facts["csv"] = invoke(json.dumps([[1, 1, 1]]).encode(), "application/json", "text/csv")[0].decode()
try:
    invoke(b"", "application/x-unknown", "application/json")
except runtime.exceptions.ClientError as error:
    facts["unknown"] = error.response["Error"]["Code"]


def fetch(uri, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            return s3.get_object(Bucket=bucket, Key=uri.split("/", 3)[3])["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            time.sleep(0.2)
    raise TimeoutError(uri)


s3.put_object(Bucket=bucket, Key="requests/good.csv", Body=b"1,1,1\n")
s3.put_object(Bucket=bucket, Key="requests/bad.csv", Body=b"one,two,three\n")
for name, member in (("good", "OutputLocation"), ("bad", "FailureLocation")):
    answer = runtime.invoke_endpoint_async(
        EndpointName="regression-async",
        InputLocation=f"s3://{bucket}/requests/{name}.csv",
        ContentType="text/csv",
        Accept="application/json",
    )
    facts[f"async {name}"] = fetch(answer[member])

s3.put_object(Bucket=bucket, Key="batch/rows.csv", Body=b"1,1,1\n0,0,1\n0,1,0\n")
sagemaker.create_transform_job(
    TransformJobName="regression-batch",
    ModelName="regression",
    BatchStrategy="MultiRecord",
    TransformInput={
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/batch/"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    TransformOutput={"S3OutputPath": f"s3://{bucket}/batch-output", "Accept": "text/csv", "AssembleWith": "Line"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
)
sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
    TransformJobName="regression-batch", WaiterConfig={"Delay": 1, "MaxAttempts": 120}
)
transform = sagemaker.describe_transform_job(TransformJobName="regression-batch")
facts["transform"] = transform["TransformJobStatus"], transform.get("FailureReason")
facts["batch"] = fetch(f"s3://{bucket}/batch-output/rows.csv.out").split()

for endpoint in ("regression", "regression-async"):
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.delete_endpoint_config(EndpointConfigName=endpoint)
sagemaker.delete_model(ModelName="regression")
deadline = time.time() + 60
while sagemaker.list_endpoints()["Endpoints"] and time.time() < deadline:
    time.sleep(0.2)
facts["left"] = sagemaker.list_endpoints()["Endpoints"] + sagemaker.list_models()["Models"]
print(json.dumps(facts))
