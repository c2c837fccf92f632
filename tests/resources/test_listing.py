"""What this project created is found by its tag alone, with its price, whatever else is in the account."""

from __future__ import annotations

from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk import AccessError, Session, list_resources
from dogbreed_sdk.aws.requests.expiry import SCHEDULE_GROUP
from dogbreed_sdk.aws.requests.tags import EXPIRES_AT, project_tags, tag_list
from tests.aws.server import AwsServer

OURS = tag_list(project_tags())
ROLE = "arn:aws:iam::000000000000:role/r"


def create_model(client: Any, name: str, tags: Any = OURS) -> None:
    client.create_model(ModelName=name, PrimaryContainer={"Image": "i"}, ExecutionRoleArn=ROLE, Tags=tags)


def refusal(operation: str) -> ClientError:
    """AWS's error without the permission for an operation."""
    error = {"Code": "AccessDeniedException", "Message": f"not authorized to perform {operation}"}
    return ClientError({"Error": error}, operation)  # type: ignore[typeddict-item]


def names(session: Session, kind: str = "model") -> list[str]:
    return [resource.name for resource in list_resources(session) if resource.kind == kind]


def refuse(client: Any) -> None:
    """Makes AWS refuse a client's calls, as it does without the permission."""

    def refused(model: Any, **_: Any) -> None:
        raise refusal(model.name)

    client.meta.events.register_first("before-call", refused)


def test_only_the_tag_decides(session: Session) -> None:
    client = session.client("sagemaker")
    create_model(client, "ours")
    create_model(client, "dogbreed-of-somebody-else", [])
    create_model(client, "another-tool", [{"Key": "dogbreed:created-by", "Value": "another"}])
    assert names(session) == ["ours"]


def test_hundreds_are_listed_completely_page_by_page(session: Session) -> None:
    client = session.client("sagemaker")
    for number in range(230):
        create_model(client, f"model-{number}", OURS if number % 2 else [])
    assert len(list_resources(session)) == 115


def test_a_resource_that_is_deleted_meanwhile_is_left_out(session: Session) -> None:
    client = session.client("sagemaker")
    create_model(client, "gone")
    create_model(client, "stays")

    to_delete, lock = ["gone"], Lock()

    def delete(**_: Any) -> None:
        with lock:  # tags are read in parallel, and no reading may be faster
            while to_delete:
                client.delete_model(ModelName=to_delete.pop())

    client.meta.events.register_first("before-call.sagemaker.ListTags", delete)
    assert names(session) == ["stays"]


def test_local_sagemaker_costs_nothing(session: Session) -> None:
    create_model(session.client("sagemaker"), "ours")
    assert list_resources(session).usd_per_hour == 0.0


def test_an_expiry_is_read_from_its_tag(session: Session) -> None:
    client = session.client("sagemaker")
    create_model(client, "later", tag_list({**project_tags(), EXPIRES_AT: "2999-01-01T00:00:00Z"}))
    create_model(client, "edited", tag_list({**project_tags(), EXPIRES_AT: "tomorrow"}))
    found = {resource.name: resource for resource in list_resources(session)}
    assert found["edited"].expires_at is None
    assert not found["later"].is_expired
    left = found["later"].to_dict()["expires_in_seconds"]
    assert isinstance(left, int)
    assert left > 900 * 365 * 86_400


def test_without_permission_to_read_tags_nothing_is_guessed(aws_server: AwsServer) -> None:
    session = aws_server.session()
    client = session.client("sagemaker")
    create_model(client, "ours")

    def only_tags(model: Any, **_: Any) -> None:
        if model.name == "ListTags":
            raise refusal(model.name)

    client.meta.events.register_first("before-call.sagemaker", only_tags)
    with pytest.raises(AccessError, match="perform ListTags"):
        list_resources(session)


class TestBesideSageMaker:
    def register(self, aws: AwsServer, endpoint: str, tags: dict[str, str]) -> None:
        aws.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=1,
            MaxCapacity=4,
            Tags=tags,
        )

    def test_scalable_targets_and_schedules_are_found_by_tags_too(
        self, aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # moto tags no scalable targets; what it would answer is AWS's form (API reference, ListTagsForResource).
        session = aws_server.session()
        tags = {f"endpoint/{name}/": given for name, given in (("ours", project_tags()), ("theirs", {}))}
        targets = session.client("application-autoscaling")
        for name in ("ours", "theirs"):
            self.register(aws_server, name, {})
        described = targets.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        by_arn = {
            target["ScalableTargetARN"]: given
            for target in described
            for part, given in tags.items()
            if part in target["ResourceId"]
        }
        assert len(by_arn) == 2
        monkeypatch.setattr(targets, "list_tags_for_resource", lambda **asked: {"Tags": by_arn[asked["ResourceARN"]]})
        scheduler = aws_server.client("scheduler")
        scheduler.create_schedule_group(Name=SCHEDULE_GROUP, Tags=OURS)
        for group, name in ((SCHEDULE_GROUP, "dogs"), ("default", "theirs")):
            scheduler.create_schedule(
                Name=name,
                GroupName=group,
                ScheduleExpression="at(2999-01-01T00:00:00)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={"Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint", "RoleArn": ROLE},
            )
        found = list_resources(session)
        assert {(resource.kind, resource.name) for resource in found} == {
            ("scalable-target", "endpoint/ours/variant/AllTraffic"),
            ("schedule", "dogs"),
        }
        assert found.notes == ()

    def test_a_group_without_our_tag_is_somebody_elses(self, aws_server: AwsServer) -> None:
        aws_server.client("scheduler").create_schedule_group(Name=SCHEDULE_GROUP)
        assert list(list_resources(aws_server.session())) == []

    @pytest.mark.parametrize(
        ("service", "action"),
        [("application-autoscaling", "DescribeScalableTargets"), ("scheduler", "GetScheduleGroup")],
    )
    def test_without_permission_for_them_the_list_says_so(
        self, aws_server: AwsServer, service: str, action: str
    ) -> None:
        session = aws_server.session()
        create_model(session.client("sagemaker"), "ours")
        refuse(session.client(service))
        found = list_resources(session)
        assert [resource.name for resource in found] == ["ours"]
        [note] = found.notes
        assert f"needs the permissions {service}:{action}" in note

    def test_aws_clients_that_are_sent_to_local_sagemaker_get_no_note(
        self, aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in ``dogbreed local run``."""
        assert aws_server.sagemaker is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws_server.sagemaker.endpoint_url)
        session = aws_server.session()
        create_model(session.client("sagemaker"), "ours")
        found = list_resources(session)
        assert [resource.name for resource in found] == ["ours"]
        assert found.notes == ()
