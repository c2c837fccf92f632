"""A clean-up deletes what is chosen and nothing that somebody still needs, continues after errors, and resumes."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk import ConfigurationError, Resource, ResourceList, Session, list_resources, plan_cleanup
from dogbreed_sdk.aws.requests.tags import EXPIRES_AT, project_tags, tag_list
from dogbreed_sdk.resources import cleanup
from dogbreed_sdk.resources.cleanup import CleanupPlan
from dogbreed_sdk.resources.resource import Kind
from tests.aws.account import RecordedSageMaker
from tests.aws.server import AwsServer
from tests.resources.test_listing import OURS, create_model
from tests.script_job import start_script
from tests.waiting import wait_for

NOW = datetime.now(timezone.utc)
Found = Callable[..., None]


def made(
    kind: Kind,
    name: str = "dogs",
    *,
    days: float = 0,
    expired: bool = False,
    uses: tuple[tuple[str, str], ...] = (),
) -> Resource:
    expiry = NOW - timedelta(minutes=1) if expired else None
    return Resource(kind, name, "", NOW - timedelta(days=days), 0.0, expiry, frozenset(uses))


def deployment(name: str, **facts: Any) -> list[Resource]:
    """An endpoint with what it needs, and with what follows it."""
    config, model = ("endpoint-config", name), ("model", name)
    return [
        made("endpoint", name, uses=(config, model), **facts),
        made("endpoint-config", name, uses=(model,), **facts),
        made("model", name, **facts),
        made("scalable-target", f"endpoint/{name}/variant/AllTraffic"),
        made("schedule", name),
    ]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Decides what exists."""

    def exists(*resources: Resource) -> None:
        monkeypatch.setattr(cleanup, "list_resources", lambda _: ResourceList(resources))

    return exists


@pytest.fixture
def planned(session: Session, found: Found) -> Callable[..., set[str]]:
    def plan(*resources: Resource, **options: Any) -> set[str]:
        found(*resources)
        chosen = plan_cleanup(session, **options)
        assert {*chosen.delete, *chosen.keep} == set(resources)
        return {f"{resource.kind} {resource.name}" for resource in chosen.delete}

    return plan


Planned = Callable[..., set[str]]


class TestChoice:
    def test_without_conditions_it_is_everything_but_jobs_that_run(self, planned: Planned) -> None:
        job = made("training-job", "running")
        everything = {f"{resource.kind} {resource.name}" for resource in deployment("dogs")}
        assert planned(*deployment("dogs"), job) == everything
        assert planned(*deployment("dogs"), job, stop_jobs=True) == {*everything, "training-job running"}

    def test_what_follows_an_endpoint_shares_its_fate(self, planned: Planned) -> None:
        chosen = planned(*deployment("old", days=2), *deployment("new"), older_than="1d")
        assert chosen == {f"{resource.kind} {resource.name}" for resource in deployment("old")}
        assert planned(*deployment("old", expired=True), *deployment("new"), expired=True) == chosen

    def test_what_an_endpoint_needs_that_stays_stays_too(self, planned: Planned) -> None:
        endpoint = made("endpoint", "dogs", uses=(("endpoint-config", "second"),))
        config = made("endpoint-config", "second", days=5, uses=(("model", "second"),))
        models = [made("model", name, days=5) for name in ("first", "second")]
        assert planned(endpoint, config, *models, older_than="1d") == {"model first"}

    def test_the_model_of_a_transform_job_that_runs_stays(self, planned: Planned) -> None:
        job = made("transform-job", "batch", days=5, uses=(("model", "dogs"),))
        assert planned(job, made("model", "dogs", days=5)) == set()
        assert planned(job, made("model", "dogs", days=5), stop_jobs=True) == {"transform-job batch", "model dogs"}

    def test_a_schedule_without_its_endpoint_is_chosen_by_its_age(self, planned: Planned) -> None:
        assert planned(made("schedule", "gone", days=2), older_than="1d") == {"schedule gone"}
        assert planned(made("schedule", "gone"), older_than="1d") == set()

    def test_a_warm_pool_is_no_job_that_runs(self, planned: Planned) -> None:
        assert planned(made("warm-pool", "ended")) == {"warm-pool ended"}

    @pytest.mark.parametrize("age", ["1 month", "", -1])
    def test_an_age_that_is_no_duration_is_refused(self, session: Session, age: Any) -> None:
        with pytest.raises(ConfigurationError, match="older_than"):
            plan_cleanup(session, older_than=age)


class TestRun:
    def test_it_continues_after_errors_and_a_later_one_deletes_the_rest(self, session: Session) -> None:
        client = session.client("sagemaker")
        for name in ("first", "second"):
            create_model(client, name)
        refused = ["first"]

        def refuse(params: dict[str, Any], **_: Any) -> None:
            if any(name in str(params["body"]) for name in refused):
                error: Any = {"Code": "AccessDeniedException", "Message": "not authorized"}
                raise ClientError({"Error": error}, "DeleteModel")

        client.meta.events.register_first("before-call.sagemaker.DeleteModel", refuse)
        result = plan_cleanup(session).run()
        assert [resource.name for resource in result.deleted] == ["second"]
        [failure] = result.failures
        assert (failure.kind, failure.name) == ("model", "first")
        assert "delete model first: not authorized" in str(failure.error)
        refused.clear()
        assert plan_cleanup(session).run().failures == ()
        assert list(list_resources(session)) == []

    def test_what_would_delete_an_endpoint_stays_if_the_endpoint_could_not_be_deleted(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: list[str] = []

        def fail(_session: Session, name: str) -> None:
            error: Any = {"Code": "ValidationException", "Message": f"no {name}"}
            raise ClientError({"Error": error}, "DeleteEndpoint")

        deletions = {kind: lambda *_, kind=kind: called.append(kind) for kind in cleanup._DELETIONS}
        monkeypatch.setattr(cleanup, "_DELETIONS", {**deletions, "endpoint": fail})
        resources = (*deployment("dogs"), made("schedule", "other"))
        result = CleanupPlan(session, resources, ()).run()
        assert called == ["endpoint-config", "model", "schedule"]
        assert [failure.kind for failure in result.failures] == ["endpoint"]

    def test_the_order_is_endpoints_jobs_and_then_what_they_used(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: list[str] = []
        deletions = {kind: lambda *_, kind=kind: called.append(kind) for kind in cleanup._DELETIONS}
        monkeypatch.setattr(cleanup, "_DELETIONS", deletions)
        jobs = [made(kind) for kind in ("training-job", "tuning-job")]
        CleanupPlan(session, (*reversed(deployment("dogs")), *jobs), ()).run()
        assert called == [
            "endpoint",
            "tuning-job",
            "training-job",
            "scalable-target",
            "endpoint-config",
            "model",
            "schedule",
        ]

    def test_autoscaling_ends_with_its_scalable_target(self, account: tuple[Session, RecordedSageMaker]) -> None:
        session, _ = account
        targets = session.client("application-autoscaling")
        name = "endpoint/dogs/variant/AllTraffic"
        targets.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=name,
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=1,
            MaxCapacity=4,
        )
        plan = CleanupPlan(session, (made("scalable-target", name),), ())
        assert plan.run().failures == ()
        assert targets.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
        assert plan.run().failures == ()  # it is gone

    @pytest.mark.extras
    def test_jobs_that_run_are_listed_and_stopped_when_asked(self, session: Session, tmp_path: Path) -> None:
        job = start_script("import time\ntime.sleep(60)", tmp_path, session)
        arn = job.describe()["TrainingJobArn"]
        session.client("sagemaker").add_tags(ResourceArn=arn, Tags=OURS)
        assert plan_cleanup(session).delete == ()
        result = plan_cleanup(session, stop_jobs=True).run()
        assert [(resource.kind, resource.name) for resource in result.deleted] == [("training-job", "failed")]
        assert result.failures == ()
        wait_for(lambda: not list_resources(session))
        assert job.status == "Stopped"


class TestFiles:
    @pytest.fixture
    def stored(self, session: Session) -> Path:
        """The folder of the session's files, with two of them."""
        assert session.root is not None
        folder = Path(session.base_uri.removeprefix("file://"))
        for name in ("data/1/a.jpg", "jobs/x/output/model.tar.gz"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(b"12345")
        return folder

    def test_files_are_deleted_only_when_asked(self, session: Session, stored: Path) -> None:
        assert plan_cleanup(session).objects == ()
        plan = plan_cleanup(session, objects=True)
        assert plan.folders() == [(f"{session.base_uri}/data", 1, 5), (f"{session.base_uri}/jobs", 1, 5)]
        assert plan.run().objects == 2
        assert [path for path in stored.rglob("*") if path.is_file()] == []

    def test_younger_files_stay(self, session: Session, stored: Path) -> None:
        os.utime(stored / "data/1/a.jpg", (1, 1))
        assert [file.name for file in plan_cleanup(session, objects=True, older_than="1d").objects] == ["data/1/a.jpg"]

    def test_files_that_something_uses_which_stays_are_refused(self, session: Session, found: Found) -> None:
        found(*deployment("new"), made("training-job", "running"))
        with pytest.raises(ConfigurationError, match=r"still used by endpoint new, model new, training-job running"):
            plan_cleanup(session, objects=True, older_than="1d")

    def test_on_s3_only_what_is_below_the_prefix_is_deleted(self, aws_server: AwsServer) -> None:
        s3 = aws_server.client("s3")
        s3.create_bucket(Bucket="shared")
        for key in ("dogbreed/data/a.jpg", "dogbreed-others/b.jpg", "c.jpg"):
            s3.put_object(Bucket="shared", Key=key, Body=b"1")
        assert plan_cleanup(aws_server.session(bucket="shared"), objects=True).run().objects == 1
        left = [entry["Key"] for entry in s3.list_objects_v2(Bucket="shared")["Contents"]]
        assert left == ["c.jpg", "dogbreed-others/b.jpg"]
        with pytest.raises(ConfigurationError, match="directly in the bucket"):
            plan_cleanup(aws_server.session(bucket="shared", prefix=""), objects=True)


def test_what_has_expired_is_deleted_with_its_configuration_and_model(aws_server: AwsServer) -> None:
    session = aws_server.session()
    client = session.client("sagemaker")
    create_model(client, "stays")
    create_model(client, "expired", tag_list({**project_tags(), EXPIRES_AT: "2001-01-01T00:00:00Z"}))
    plan = plan_cleanup(session, expired=True)
    assert [resource.name for resource in plan.delete] == ["expired"]
    plan.run()
    assert [resource.name for resource in list_resources(session)] == ["stays"]
