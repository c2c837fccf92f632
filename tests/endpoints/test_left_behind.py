"""What a program leaves behind on AWS is mentioned when it ends: its price, and the command that deletes it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import Deployment, Serverless, Session, deploy
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.endpoints import left_behind
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.aws.server import ROLE_ARN, AwsServer
from tests.local.api.test_models import archive

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]

LEAVING = """
import sys
from dogbreed_sdk import Session, defaults, deploy

defaults.AWS_POLL_SECONDS = 0.1
session = Session.aws(role=sys.argv[1])
for name in ("deleted", "left"):
    made = deploy(sys.argv[2], session=session, endpoint_name=name, wait=False, progress=lambda step: None)
    if name == "deleted":
        made.wait(progress=lambda step: None).delete()
raise SystemExit(3)
"""


@pytest.fixture
def mentioned(caplog: pytest.LogCaptureFixture) -> Any:
    def mention() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "dogbreed_sdk"):
            left_behind._mention()
        return caplog.messages

    return mention


def deploy_dogs(session: Session, **options: Any) -> Deployment:
    return deploy(f"s3://{BUCKET}/m.tar.gz", session=session, endpoint_name="dogs", progress=no_progress, **options)


def test_a_program_mentions_what_it_has_not_deleted(aws_server: AwsServer, tmp_path: Path) -> None:
    aws_server.client("s3").create_bucket(Bucket=BUCKET)
    model = uri_to_path(archive(tmp_path / "model", "!"))
    aws_server.client("s3").upload_file(str(model), BUCKET, "model.tar.gz")
    command = [sys.executable, "-c", LEAVING, ROLE_ARN, f"s3://{BUCKET}/model.tar.gz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert line.startswith("Endpoint left is left behind and costs 0.115 USD per hour (1 x ml.m5.large in us-east-1).")
    assert line.endswith("To delete it: dogbreed delete left --aws --region us-east-1")
    Deployment("left", aws_server.session()).delete()


def test_a_serverless_endpoint_costs_nothing_while_idle(account: Account, mentioned: Any) -> None:
    deploy_dogs(account[0], serverless=Serverless(2048))
    [line] = mentioned()
    assert "it is serverless and costs nothing while it is idle" in line


def test_an_expiry_that_nothing_acts_on_is_mentioned(account: Account, mentioned: Any) -> None:
    deploy_dogs(account[0], ttl="2h")
    [line] = mentioned()
    assert "Z, but 'dogbreed cleanup --expired --aws --region us-east-1' has to delete it." in line


def test_what_a_schedule_deletes_needs_no_mention(account: Account, mentioned: Any) -> None:
    session, _ = account
    deploy_dogs(session, ttl="2h", scheduler_role="arn:aws:iam::123456789012:role/scheduler")
    assert mentioned() == []
    assert left_behind.usd_per_hour(session, "dogs") == 0.115


def test_provisioned_concurrency_costs_money_all_the_time(account: Account, mentioned: Any) -> None:
    deploy_dogs(account[0], serverless=Serverless(2048, provisioned_concurrency=1))
    [line] = mentioned()
    assert "and costs money every hour (provisioned concurrency in us-east-1)" in line


def test_an_unknown_price_is_not_guessed(account: Account, mentioned: Any) -> None:
    deploy_dogs(account[0], instance_type="ml.inf1.24xlarge", image_uri="mine")
    [line] = mentioned()
    assert "and costs money every hour (1 x ml.inf1.24xlarge in us-east-1)" in line


def test_a_profile_is_part_of_the_command(account: Account, mentioned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(account[0].boto3_session), "profile_name", "school")
    deploy_dogs(account[0])
    [line] = mentioned()
    assert line.endswith("dogbreed delete dogs --aws --region us-east-1 --profile school")


def test_a_forked_process_does_not_mention_it(
    account: Account, mentioned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_dogs(account[0])
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert mentioned() == []


def test_what_has_been_deleted_is_not_mentioned(account: Account, mentioned: Any) -> None:
    with deploy_dogs(account[0]):
        assert len(mentioned()) == 1
    assert mentioned() == []


def test_local_sagemaker_is_free(session: Session, tmp_path: Path, mentioned: Any) -> None:
    with deploy(archive(tmp_path / "model", "!"), session=session, wait=False):
        assert mentioned() == []
