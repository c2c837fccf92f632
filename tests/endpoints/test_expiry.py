"""A time to live: the tags, the schedule on AWS, what is said without one, and the end on local SageMaker."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk import ConfigurationError, Deployment, Session, deploy, list_resources, plan_cleanup
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.aws.requests.expiry import SCHEDULE_GROUP, read_expiry
from dogbreed_sdk.aws.requests.tags import CREATED_BY, EXPIRES_AT, SCHEDULED, project_tags, tag_list
from dogbreed_sdk.local.api import expiry
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.local.api.test_models import archive
from tests.resources.test_listing import create_model
from tests.waiting import wait_for

Account = tuple[Session, RecordedSageMaker]
pytestmark = pytest.mark.extras

MODEL = f"s3://{BUCKET}/model.tar.gz"
ROLE = "arn:aws:iam::123456789012:role/scheduler"


def deploy_dogs(session: Session, **options: Any) -> Deployment:
    return deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress, **options)


def schedules(session: Session) -> list[str]:
    found = session.client("scheduler").list_schedules(GroupName=SCHEDULE_GROUP)["Schedules"]
    return [entry["Name"] for entry in found]


def scheduled(session: Session) -> Any:
    return session.client("scheduler").get_schedule(Name="dogs", GroupName=SCHEDULE_GROUP)


def answer_tags(aws: RecordedSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """SageMaker answers with the tags that the endpoint was created with."""
    content = aws._content
    monkeypatch.setattr(
        aws,
        "_content",
        lambda operation, body: (
            {"Tags": aws.sent("CreateEndpoint")[-1]["Tags"]} if operation == "ListTags" else content(operation, body)
        ),
    )


def without_endpoint(aws: RecordedSageMaker) -> None:
    """Forgets the endpoint, which somebody else has deleted, and what was sent since its parts were created."""
    aws.requests[:] = [(name, body) for name, body in aws.requests if name in ("CreateModel", "CreateEndpointConfig")]


class TestOnAws:
    def test_all_that_expires_says_so(self, account: Account) -> None:
        session, aws = account
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE, tags={"team": "a"})
        for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
            [request] = aws.sent(operation)
            tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            assert set(tags) == {"team", CREATED_BY, EXPIRES_AT, SCHEDULED}
            expiry = read_expiry(tags[EXPIRES_AT])
            assert expiry is not None
            assert abs(expiry - datetime.now(timezone.utc) - timedelta(hours=2)) < timedelta(seconds=30)

    def test_a_schedule_is_created_in_a_group_of_this_project(self, account: Account) -> None:
        session, aws = account
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE)
        [request] = aws.sent("CreateEndpoint")
        moment = next(tag["Value"] for tag in request["Tags"] if tag["Key"] == EXPIRES_AT)
        found = scheduled(session)
        assert found["ScheduleExpression"] == f"at({moment.removesuffix('Z')})"
        assert found["Target"]["RoleArn"] == ROLE
        scheduler = session.client("scheduler")
        group = scheduler.get_schedule_group(Name=SCHEDULE_GROUP)["Arn"]
        assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == tag_list(project_tags())

    def test_the_role_may_be_in_the_environment(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOGBREED_SCHEDULER_ROLE", ROLE)
        deploy_dogs(account[0], ttl=timedelta(hours=1))
        assert schedules(account[0]) == ["dogs"]

    def test_the_schedule_of_an_earlier_endpoint_of_this_name_is_replaced(self, account: Account) -> None:
        session, aws = account
        deploy_dogs(session, ttl="1h", scheduler_role=ROLE)
        earlier = scheduled(session)["ScheduleExpression"]
        aws.requests.clear()  # the endpoint was deleted by somebody else
        deploy_dogs(session, ttl="5h", scheduler_role=ROLE)
        assert schedules(session) == ["dogs"]
        assert scheduled(session)["ScheduleExpression"] > earlier

    def test_without_a_role_it_says_what_deletes_the_endpoint(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = account
        deploy_dogs(session, ttl="2h")
        [warning] = caplog.messages
        assert "no schedule deletes it: no role was given" in warning
        assert "DOGBREED_SCHEDULER_ROLE" in warning
        assert "'dogbreed cleanup --expired --aws'" in warning
        assert EXPIRES_AT in str(aws.sent("CreateEndpoint"))

    def test_without_permission_the_endpoint_is_deployed_and_the_permission_named(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = account

        def refuse(**_: Any) -> None:
            error: Any = {"Code": "AccessDeniedException", "Message": "not authorized: scheduler:CreateSchedule"}
            raise ClientError({"Error": error}, "CreateSchedule")

        session.client("scheduler").meta.events.register_first("before-call.scheduler", refuse)
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE)
        assert "not authorized: scheduler:CreateSchedule" in caplog.text
        assert aws.sent("CreateEndpoint")
        assert aws.sent("DeleteEndpoint") == []

    def test_without_a_ttl_the_scheduler_is_never_called(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, _ = account

        def fail(**_: Any) -> None:
            raise AssertionError("the scheduler was called")

        session.client("scheduler").meta.events.register_first("before-call.scheduler", fail)
        monkeypatch.setenv("DOGBREED_SCHEDULER_ROLE", ROLE)
        deploy_dogs(session).delete()

    def test_deleting_the_endpoint_deletes_its_schedule(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, aws = account
        answer_tags(aws, monkeypatch)
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE)
        Deployment("dogs", session).delete()
        assert schedules(session) == []

    def test_without_a_role_deleting_never_calls_the_scheduler(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, aws = account
        answer_tags(aws, monkeypatch)

        def fail(**_: Any) -> None:
            raise AssertionError("the scheduler was called")

        session.client("scheduler").meta.events.register_first("before-call.scheduler", fail)
        deploy_dogs(session, ttl="2h").delete()
        assert aws.sent("DeleteEndpoint")

    @pytest.mark.parametrize("role", [ROLE, None])
    def test_a_name_can_be_used_again_after_the_schedule_has_deleted_its_endpoint(
        self, account: Account, role: str | None
    ) -> None:
        session, aws = account
        deploy_dogs(session, ttl="2h", scheduler_role=role)
        without_endpoint(aws)
        calls: list[str] = []
        events = session.client("scheduler").meta.events
        events.register_first("before-call.scheduler", lambda model, **_: calls.append(model.name))
        deploy_dogs(session)
        assert [name for name, _ in aws.requests if name.startswith(("Create", "Delete"))] == [
            *("CreateModel", "CreateEndpointConfig"),
            "DeleteEndpointConfig",
            "DeleteModel",
            "CreateModel",
            "CreateEndpointConfig",
            "CreateEndpoint",
        ]
        assert calls == ([] if role is None else ["DeleteSchedule"])
        if role is not None:
            assert schedules(session) == []  # or it would delete the new endpoint

    def test_deleting_what_is_left_of_an_endpoint_deletes_its_schedule(self, account: Account) -> None:
        session, aws = account
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE)
        without_endpoint(aws)
        Deployment("dogs", session).delete()
        assert schedules(session) == []

    def test_a_schedule_that_may_not_be_deleted_is_a_warning(
        self, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = account
        answer_tags(aws, monkeypatch)
        deploy_dogs(session, ttl="2h", scheduler_role=ROLE)

        def refuse(**_: Any) -> None:
            error: Any = {"Code": "AccessDeniedException", "Message": "not authorized: scheduler:DeleteSchedule"}
            raise ClientError({"Error": error}, "DeleteSchedule")

        session.client("scheduler").meta.events.register_first("before-call.scheduler.DeleteSchedule", refuse)
        Deployment("dogs", session).delete()
        assert "perhaps not its schedule" in caplog.text
        assert "scheduler:DeleteSchedule" in caplog.text

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"ttl": "soon"}, "ttl is 'soon'"),
            ({"ttl": 0}, "ttl"),
            ({"ttl": "400d"}, "ttl is 400 d"),
            ({"ttl": "14min"}, "ttl is 14 min; on AWS it must be at least 15 min, because SageMaker does not delete"),
            ({"ttl": "14min", "scheduler_role": ROLE}, "ttl is 14 min; on AWS it must be at least 15 min"),
            ({"ttl": "1h", "scheduler_role": "my-role"}, "scheduler_role is 'my-role'; pass the ARN"),
        ],
    )
    def test_what_cannot_be_is_refused_before_anything_is_created(
        self, account: Account, options: dict[str, Any], words: str
    ) -> None:
        session, aws = account
        with pytest.raises(ConfigurationError, match=words):
            deploy_dogs(session, **options)
        assert aws.requests == []


@pytest.mark.extras
class TestOnLocalSageMaker:
    def test_an_endpoint_ends_with_its_configuration_and_model(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deployed = deploy(archive(tmp_path / "model", "!"), session=session, ttl="1h", progress=no_progress)
        assert {resource.kind for resource in list_resources(session)} == {"endpoint", "endpoint-config", "model"}
        assert all(resource.expires_at is not None for resource in list_resources(session))
        later = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(hours=1))
        monkeypatch.setattr(expiry, "datetime", later)
        wait_for(lambda: not list_resources(session))
        assert deployed.endpoint_name not in str(session.client("sagemaker").list_endpoints()["Endpoints"])

    def test_what_expired_while_no_server_ran_ends_when_one_starts(self, tmp_path: Path) -> None:
        with Session.local(tmp_path) as session:
            client = session.client("sagemaker")
            create_model(client, "later", tag_list({**project_tags(), EXPIRES_AT: "2999-01-01T00:00:00Z"}))
            create_model(client, "foreign", tag_list({EXPIRES_AT: "2001-01-01T00:00:00Z"}))
            moment = (datetime.now(timezone.utc) + timedelta(seconds=1)).isoformat(timespec="seconds")
            create_model(client, "soon", tag_list({**project_tags(), EXPIRES_AT: moment}))
        wait_for(lambda: datetime.now(timezone.utc) > datetime.fromisoformat(moment))
        with Session.local(tmp_path) as session:

            def names() -> set[str]:
                models = session.client("sagemaker").list_models()["Models"]
                return {model["ModelName"] for model in models}

            wait_for(lambda: names() == {"later", "foreign"})
            plan_cleanup(session).run()
            assert names() == {"foreign"}

    def test_nothing_is_said_of_schedules(
        self, session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "dogbreed_sdk"):
            url = archive(tmp_path / "model", "!")
            deploy(url, session=session, ttl="1d", progress=no_progress).delete()
        assert caplog.messages == []
