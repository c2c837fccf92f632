"""Lists of jobs where not every kind may be listed."""

from __future__ import annotations

import pytest

from dogbreed_sdk import AccessError, Session
from dogbreed_sdk.jobs.listing import list_jobs
from tests.aws.account import RecordedSageMaker, refusal

Account = tuple[Session, RecordedSageMaker]


def test_whoever_may_not_list_transform_jobs_sees_the_others(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    session, aws = account
    aws.refusals["ListTransformJobs"] = refusal("AccessDeniedException", "not allowed: sagemaker:ListTransformJobs")
    assert list_jobs(session) == []
    assert "Transform jobs are not listed: Could not list transform jobs: not allowed" in caplog.text
    aws.refusals["ListTrainingJobs"] = refusal("AccessDeniedException", "no")
    with pytest.raises(AccessError, match="Could not list training jobs"):
        list_jobs(session)
