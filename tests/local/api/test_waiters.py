"""boto3's waiters end soon after what they wait for, although they ask every 120 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.waiter
import pytest

from dogbreed_sdk.local.api import waiters
from dogbreed_sdk.local.api.wire import ApiError


def parts(contents: list[bytes | None], **options: float) -> list[bytes]:
    """What a waiter gets while looking gives these contents, of which the last one will not change; None is refused."""
    later = iter(contents[1:])

    async def look() -> tuple[bytes, bool]:
        content = next(later)
        if content is None:
            raise ApiError("ValidationException", "It was deleted.")
        return content, content != contents[-1]

    async def collect() -> list[bytes]:
        return [part async for part in waiters.held(contents[0] or b"", look, **options)]

    return asyncio.run(collect())


def test_a_response_lasts_until_the_status_does() -> None:
    assert parts([b"Creating", b"Creating", b"InService"]) == [b" ", b" ", b"InService"]


def test_a_response_that_has_begun_ends_with_what_was_known() -> None:
    assert parts([b"Deleting", None]) == [b" ", b"Deleting"]


def test_a_response_does_not_last_forever() -> None:
    assert parts([b"InProgress", b"Completed"], limit_seconds=0) == [b"InProgress"]


def test_only_waiters_wait(
    sagemaker: Any, training_request: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = ["/bin/sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"]
    algorithm = {"TrainingImage": "i", "TrainingInputMode": "File", "ContainerEntrypoint": until}
    sagemaker.create_training_job(**training_request("asleep", AlgorithmSpecification=algorithm))
    assert sagemaker.describe_training_job(TrainingJobName="asleep")["TrainingJobStatus"] == "InProgress"
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    pauses: list[float] = []
    monkeypatch.setattr(botocore.waiter, "time", SimpleNamespace(sleep=pauses.append))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, TrainingJobName="asleep")
        (tmp_path / "go").touch()
        waiting.result()
    assert pauses == []
    assert sagemaker.describe_training_job(TrainingJobName="asleep")["TrainingJobStatus"] == "Completed"
