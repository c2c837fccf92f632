"""The time to live of an endpoint: a tag that says when it expires, and where possible a schedule that deletes it.

On AWS the schedule is EventBridge Scheduler's. It deletes the endpoint, which alone costs money; its configuration and
model carry the tag, too, for ``dogbreed cleanup --expired``. Local SageMaker deletes all three by itself.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk._util.durations import Duration, duration_seconds, readable
from dogbreed_sdk._util.text import sentence
from dogbreed_sdk.aws.errors import is_missing, is_refused, translate, translated
from dogbreed_sdk.aws.requests import expiry as requests
from dogbreed_sdk.aws.requests.tags import EXPIRES_AT, SCHEDULED, project_tags, tag_list
from dogbreed_sdk.errors import ConfigurationError, EndpointError

if TYPE_CHECKING:
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")

ROLE_VARIABLE = "DOGBREED_SCHEDULER_ROLE"
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
# By then an endpoint is usually in service, and can be deleted: no source says that EventBridge Scheduler repeats a
# DeleteEndpoint that SageMaker refused because the endpoint was still being created.
_SHORTEST_SECONDS_ON_AWS = 15 * 60
_LONGEST_SECONDS = 366 * 86_400
_NO_ROLE = (
    "no role was given for that. Pass scheduler_role=… or set DOGBREED_SCHEDULER_ROLE to the ARN of a role that "
    "scheduler.amazonaws.com may assume and that allows sagemaker:DeleteEndpoint."
)


@dataclass(frozen=True)
class Expiry:
    """When an endpoint expires.

    Attributes:
        moment: When.
        role_arn: The role under which EventBridge Scheduler deletes it; None if there is none.
    """

    moment: datetime
    role_arn: str | None

    @classmethod
    def after(cls, ttl: Duration, scheduler_role: str | None, session: Session) -> Expiry:
        """The expiry of an endpoint that is deployed now.

        Args:
            ttl: Its time to live, at most a year; on AWS at least 15 minutes.
            scheduler_role: ARN of a role; default: ``$DOGBREED_SCHEDULER_ROLE``.
            session: The session that the endpoint belongs to.

        Raises:
            ConfigurationError: The time to live is not such a duration, or the role not an ARN.
        """
        seconds = duration_seconds(ttl, name="ttl", least=1, most=_LONGEST_SECONDS)
        if seconds < _SHORTEST_SECONDS_ON_AWS and not session.is_local:
            raise ConfigurationError(
                f"ttl is {readable(seconds)}; on AWS it must be at least {readable(_SHORTEST_SECONDS_ON_AWS)}, because "
                "SageMaker does not delete an endpoint that is still being created."
            )
        moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=seconds)
        return cls(moment, _role_arn(scheduler_role))

    @property
    def text(self) -> str:
        """The moment as its tag has it."""
        return requests.expiry_text(self.moment)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of everything that expires with the endpoint.

        A deletion looks for a schedule only if the tags say that one was requested: not everybody who deletes may call
        EventBridge Scheduler.
        """
        return {EXPIRES_AT: self.text, **({SCHEDULED: "true"} if self.role_arn else {})}

    def schedule(self, session: Session, name: str) -> bool:
        """Schedules the deletion of an endpoint; if that is not possible, logs why, and what deletes it instead.

        Returns:
            Whether the endpoint will be deleted without any further action.
        """
        if session.is_local:
            return True
        if self.role_arn is None:
            self._say_not_scheduled(name, _NO_ROLE)
            return False
        request = requests.schedule(name, expires_at=self.moment, role_arn=self.role_arn)
        try:
            _put_schedule(session.client("scheduler"), request)
        except (ClientError, BotoCoreError) as error:
            self._say_not_scheduled(name, str(translate(error, "create the schedule", otherwise=EndpointError)))
            return False
        return True

    def _say_not_scheduled(self, name: str, why: str) -> None:
        logger.warning(
            "Endpoint %s expires at %s, but no schedule deletes it: %s 'dogbreed cleanup --expired --aws' deletes "
            "what has expired.",
            name,
            self.text,
            sentence(why),
        )


def _role_arn(given: str | None) -> str | None:
    arn = given or os.environ.get(ROLE_VARIABLE) or None
    if arn is not None and not _ROLE_ARN.fullmatch(arn):
        source = "scheduler_role" if given else f"${ROLE_VARIABLE}"
        raise ConfigurationError(f"{source} is {arn!r}; pass the ARN of a role, arn:aws:iam::…:role/….")
    return arn


def delete_schedule(session: Session, name: str) -> None:
    """Deletes the schedule of an endpoint, which would delete a later endpoint of the same name.

    Raises:
        EndpointError: EventBridge Scheduler refused.
        AccessError: Credentials or a permission are missing.
    """
    if session.is_local:
        return
    with translated(f"delete the schedule of endpoint {name}", otherwise=EndpointError):
        try:
            session.client("scheduler").delete_schedule(Name=name, GroupName=requests.SCHEDULE_GROUP)
        except ClientError as error:
            if not is_missing(error):
                raise


def _put_schedule(client: EventBridgeSchedulerClient, request: CreateScheduleInputTypeDef) -> None:
    """Creates a schedule, or changes the one that an earlier endpoint of this name has left."""
    try:
        client.create_schedule_group(Name=requests.SCHEDULE_GROUP, Tags=tag_list(project_tags()))
    except ClientError as error:
        # The group exists already; perhaps an administrator has created it, and nobody else may.
        if _code(error) != "ConflictException" and not is_refused(error):
            raise
    try:
        client.create_schedule(**request)
    except ClientError as error:
        if _code(error) != "ConflictException":
            raise
        client.update_schedule(**request)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
