"""What these tests create is deleted by what they test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dogbreed_sdk import Session, plan_cleanup
from tests.aws.server import AwsServer


@pytest.fixture
def session(session: Session) -> Iterator[Session]:
    yield session
    plan_cleanup(session).run()


@pytest.fixture
def aws_server(aws_server: AwsServer) -> Iterator[AwsServer]:
    yield aws_server
    assert aws_server.sagemaker is not None
    with Session.local(aws_server.sagemaker.root) as session:
        plan_cleanup(session).run()
