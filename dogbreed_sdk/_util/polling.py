"""Polling of jobs and endpoints: when one has ended, how often to ask, how long it has run."""

from __future__ import annotations

import time
from datetime import datetime

from dogbreed_sdk import defaults

FINAL_STATUSES = frozenset({"Completed", "Failed", "Stopped"})
"""The statuses of training jobs, tuning jobs and trials that have ended."""


def poll_seconds(*, local: bool) -> float:
    """Seconds between two requests for the status of a job or endpoint, on local SageMaker or on AWS."""
    return defaults.LOCAL_POLL_SECONDS if local else defaults.AWS_POLL_SECONDS


def elapsed(created: datetime, ended: datetime | None) -> float:
    """Seconds since a job was created; until its end if it has ended."""
    return max(0.0, (time.time() if ended is None else ended.timestamp()) - created.timestamp())
