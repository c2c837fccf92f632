"""The servers that stand for AWS in tests are reached as AWS is, and by nothing else."""

from __future__ import annotations

import subprocess
import sys

from tests.aws.server import ACCOUNT_ID, ROLE_ARN, AwsServer


def test_an_account_is_empty_and_its_services_answer(aws_server: AwsServer) -> None:
    session = aws_server.session()
    assert session.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID
    assert session.client("s3").list_buckets()["Buckets"] == []
    assert session.client("iam").get_role(RoleName="SageMakerRole")["Role"]["Arn"] == session.role_arn == ROLE_ARN
    assert session.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert session.client("logs").describe_log_groups()["logGroups"] == []
    assert aws_server.sagemaker is not None
    addresses = {name: session.client(name).meta.endpoint_url for name in ("s3", "sts", "iam", "logs", "scheduler")}
    assert set(addresses.values()) == {aws_server.url}
    assert session.client("sagemaker-runtime").meta.endpoint_url == aws_server.sagemaker.endpoint_url


def test_processes_that_a_test_starts_reach_them_too(moto_server: AwsServer) -> None:
    moto_server.client("s3").create_bucket(Bucket="from-the-test")
    program = "import boto3; print([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['from-the-test']"
