"""Answers boto3's waiters when the status changes.

They ask again after 30 to 120 seconds, which suits AWS; here, most endpoints and many jobs take less. So the response
to a waiter begins at once and ends when there is something to tell. Other requests are answered at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from dogbreed_sdk.local.api.common import Members
from dogbreed_sdk.local.api.endpoints import IN_PROGRESS
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import StoreError

# By the X-Amz-Target of what waiters call: the member with the status, and the statuses that do not last.
_STATUSES = {
    "SageMaker.DescribeTrainingJob": ("TrainingJobStatus", RUNNING_STATUSES),
    "SageMaker.DescribeTransformJob": ("TransformJobStatus", RUNNING_STATUSES),
    "SageMaker.DescribeEndpoint": ("EndpointStatus", IN_PROGRESS),
}
# The features that a client uses are one part of its User-Agent, for instance "m/E,B"; B is a waiter.
# Source: botocore, useragent.py.
_WAITER = re.compile(r"(?:^| )m/(?:\S*,)?B(?:,| |$)")
_LOOK_SECONDS = 0.25
# A waiter asks again after this.
_LIMIT_SECONDS = 900.0


def is_waiter(user_agent: str) -> bool:
    """Whether a waiter of boto3 sent a request.

    >>> is_waiter("Boto3/1.40.5 md/Botocore#1.40.5 ua/2.1 os/linux m/Z,B,D cfg/retry-mode#legacy")
    True
    >>> is_waiter("Boto3/1.40.5 md/Botocore#1.40.5 ua/2.1 os/linux m/Z,D cfg/retry-mode#legacy")
    False
    """
    return _WAITER.search(user_agent) is not None


def will_change(target: str, members: Members) -> bool:
    """Whether a description has a status that does not last."""
    member, passing = _STATUSES.get(target, ("", ()))
    return members.get(member) in passing


async def held(
    content: bytes, look: Callable[[], Awaitable[tuple[bytes, bool]]], *, limit_seconds: float = _LIMIT_SECONDS
) -> AsyncIterator[bytes]:
    """A response's body in parts: spaces, which JSON ignores and which keep the client waiting, then the last content.

    Args:
        content: The content now.
        look: Gives the content later, and whether it will change again.
        limit_seconds: After this, the content is sent although it will change.
    """
    deadline, changing = time.monotonic() + limit_seconds, True
    while changing and time.monotonic() < deadline:
        yield b" "
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            content, changing = await look()
        except (ApiError, StoreError):
            break  # for instance deleted: the response has begun, so the waiter's next request is refused
    yield content
