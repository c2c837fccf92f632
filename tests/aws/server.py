"""AWS on loopback: moto's server in a thread, and beside it a real local SageMaker.

Every address of AWS's SDKs leads there through environment variables, so child processes reach them too and nothing
can reach AWS.
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dogbreed_sdk import Session

if TYPE_CHECKING:
    from dogbreed_sdk.local import LocalSageMaker

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"
ROLE_NAME = "SageMakerRole"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE_NAME}"
# botocore's names of the services that local SageMaker offers; all others are moto's.
_SAGEMAKERS = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "CLOUDWATCH")


@dataclass(frozen=True)
class AwsServer:
    """Where AWS's services are reached.

    Attributes:
        url: moto's server: S3, STS, IAM, CloudWatch Logs, and whatever else it offers.
        sagemaker: SageMaker, if the test asked for it.
        environment: The variables through which AWS's SDKs find them, for processes that do not inherit them.
    """

    url: str
    environment: Mapping[str, str]
    sagemaker: LocalSageMaker | None = None

    def session(self, **settings: Any) -> Session:
        """A session on AWS, as `Session.aws`, with the region and a role that exists by default."""
        return Session.aws(**{"region": REGION, "role": ROLE_ARN, **settings})

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of its own, to look at what is there."""
        return boto3.Session(region_name=region).client(service)  # type: ignore[call-overload]


@contextmanager
def running_moto() -> Iterator[str]:
    """moto's server on a free port; yields its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


def opened(url: str, monkeypatch: pytest.MonkeyPatch, sagemaker: LocalSageMaker | None = None) -> AwsServer:
    """An empty account with a role at the servers, for the processes that this test starts, too."""
    # urlopen keeps the proxies of its first call, and a test may have set some that answer nothing.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    if sagemaker is not None:
        environment |= {f"AWS_ENDPOINT_URL_{service}": sagemaker.endpoint_url for service in _SAGEMAKERS}
        # Jobs and endpoints get only some variables of the server's environment, this one among them.
        environment["AWS_ENDPOINT_URL_S3"] = url
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = AwsServer(url, environment, sagemaker)
    server.client("iam").create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument="{}")
    return server
