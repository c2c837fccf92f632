"""``dogbreed ls`` and ``dogbreed cleanup``: what exists, what it costs, and how it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import Session, defaults, deploy
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.endpoints.deployment import Deployment
from tests.aws.server import REGION, ROLE_ARN, AwsServer
from tests.local.api.test_models import archive
from tests.resources.test_listing import create_model

pytestmark = pytest.mark.extras

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dogbreed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        place = ["--aws", "--region", REGION] if "--aws" in arguments else ["--root", str(tmp_path / "root")]
        given = [argument for argument in arguments if argument != "--aws"]
        status = main([*given, *place])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def endpoint(aws_server: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """An endpoint in an account."""
    monkeypatch.setattr(defaults, "AWS_POLL_SECONDS", 0.1)
    client = aws_server.client("sagemaker")
    model = archive(tmp_path / "model", "!")  # local SageMaker reads files, too
    client.create_model(
        ModelName="dogs",
        PrimaryContainer={"Image": "i", "ModelDataUrl": model},
        ExecutionRoleArn=ROLE_ARN,
        Tags=[{"Key": "dogbreed:created-by", "Value": "dogbreed-sdk"}],
    )
    tags = [
        {"Key": "dogbreed:created-by", "Value": "dogbreed-sdk"},
        {"Key": "dogbreed:expires-at", "Value": "2999-01-01T00:00:00Z"},
    ]
    variant = {"VariantName": "v", "ModelName": "dogs", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
    client.create_endpoint_config(EndpointConfigName="dogs", ProductionVariants=[variant], Tags=tags)
    client.create_endpoint(EndpointName="dogs", EndpointConfigName="dogs", Tags=tags)
    made = Deployment("dogs", aws_server.session()).wait(progress=no_progress)
    yield made
    made.delete()


def _nothing(place: list[str]) -> str:
    jobs, cleanup = (command_line(parse(["ls", *place]), *words) for words in (["jobs"], ["cleanup", "--objects"]))
    return (
        f"no endpoints, models or running jobs are left; jobs that have ended ('{jobs}') and files ('{cleanup}') are "
        "not listed here"
    )


def test_where_there_is_no_local_sagemaker_nothing_is_left(dogbreed: Run, tmp_path: Path) -> None:
    assert dogbreed("ls") == (0, f"{_nothing(['--root', str(tmp_path / 'root')])}\n", "")
    assert dogbreed("cleanup") == (0, "nothing to delete\n", "")
    assert json.loads(dogbreed("ls", "--json")[1])["resources"] == []
    assert not (tmp_path / "root").exists()


def test_on_aws_it_costs_what_it_costs_until_it_is_cleaned_up(dogbreed: Run, endpoint: Deployment) -> None:
    status, out, err = dogbreed("ls", "--aws", "--json")
    listed = json.loads(out)
    assert (status, err) == (0, "")
    first = listed["resources"][0]
    assert {"kind": "endpoint", "name": "dogs", "status": "InService", "usd_per_hour": 0.23}.items() <= first.items()
    assert first["expires_at"] == "2999-01-01T00:00:00+00:00"
    assert {resource["kind"] for resource in listed["resources"]} == {"endpoint", "endpoint-config", "model"}
    assert (listed["usd_per_hour"], listed["unpriced"], listed["notes"]) == (0.23, 0, [])

    table = dogbreed("ls", "--aws")[1]
    assert "in total 0.230 USD per hour, by the packaged prices, the newest of 2026-" in table
    assert "0.000" not in table  # models and configurations never have a price
    assert f"cleanup --aws --region {REGION}\n" in table

    assert dogbreed("cleanup", "--aws", "--expired", "--yes")[1].startswith("nothing to delete\n")
    assert (
        f"This covers everything in this account and region ({REGION}) with the tag dogbreed:created-by, also what "
        "colleagues created. Delete 3 resources? To answer yes, add --yes."
    ) in dogbreed("cleanup", "--aws")[2]
    status, out, err = dogbreed("cleanup", "--aws", "--yes", "--json")
    assert status == 0
    assert [entry["kind"] for entry in json.loads(out)["deleted"]] == ["endpoint", "endpoint-config", "model"]
    assert err.splitlines()[0] == "deleted endpoint dogs"
    assert dogbreed("ls", "--aws") == (0, f"{_nothing(['--aws', '--region', REGION])}\n", "")


def test_without_a_terminal_nothing_is_deleted_without_yes(dogbreed: Run, tmp_path: Path) -> None:
    with Session.local(tmp_path / "root") as session:
        create_model(session.client("sagemaker"), "dogs")
    status, out, err = dogbreed("cleanup")
    assert status == 2
    assert out.splitlines()[1].startswith("dogs")
    assert "Delete 1 resource? To answer yes, add --yes." in err
    assert json.loads(dogbreed("ls", "--json")[1])["resources"][0]["name"] == "dogs"
    status, out, _ = dogbreed("cleanup", "--json")
    document = json.loads(out)
    assert (status, document["kind"]) == (2, "ConfigurationError")
    assert document["would_delete"] == [{"kind": "model", "name": "dogs"}]
    listing = command_line(parse(["ls", "--root", str(tmp_path / "root")]), "ls")
    assert dogbreed("cleanup", "--older-than", "1d", "--yes") == (
        0,
        f"nothing to delete\nkept 1 resource; '{listing}' lists them\n",
        "",
    )
    assert dogbreed("cleanup", "--yes")[:2] == (0, "deleted 1 resource, stopped 0 jobs\n")


def test_files_are_summed_up_by_folder(dogbreed: Run, tmp_path: Path) -> None:
    with Session.local(tmp_path / "root") as session:
        create_model(session.client("sagemaker"), "dogs")
        session.storage.write_bytes(b"1" * 2_000_000, f"{session.base_uri}/data/abc/a.jpg")
    status, out, err = dogbreed("cleanup", "--objects")
    assert status == 2
    assert "/bucket/data  1 file, 2 MB\n" in out
    assert "Delete 1 resource, delete 1 file?" in err
    dogbreed("cleanup", "--yes")
    table = dogbreed("cleanup", "--objects")[1]
    assert "/bucket/data  1 file, 2 MB\n" in table
    assert "USD/hour" not in table  # without resources there is no head of a table
    status, out, _ = dogbreed("cleanup", "--objects", "--yes")
    assert out.startswith("deleted 0 resources and 1 file below file://")
    assert out.endswith("/bucket, stopped 0 jobs\n")


def test_a_refusal_fails_the_command_and_names_what_is_left(
    dogbreed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dogbreed_sdk.errors import AccessError  # noqa: PLC0415
    from dogbreed_sdk.resources import cleanup  # noqa: PLC0415

    def refuse(_session: Session, name: str) -> None:
        raise AccessError(f"Could not delete {name}: not authorized.")

    with Session.local(tmp_path / "root") as session:
        create_model(session.client("sagemaker"), "dogs")
    deletions: Any = {**cleanup._DELETIONS, "model": refuse}
    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "_DELETIONS", deletions)
        status, out, _ = dogbreed("cleanup", "--yes")
    assert status == 1
    assert dogbreed("cleanup", "--yes")[0] == 0
    assert "failed: model dogs: Could not delete dogs: not authorized.\nrun the command again" in out


def test_the_time_that_is_left_is_listed(dogbreed: Run, tmp_path: Path) -> None:
    with Session.local(tmp_path / "root") as session:
        made = deploy(archive(tmp_path / "model", "!"), session=session, ttl="2h", wait=False, progress=no_progress)
        rows = dogbreed("ls")[1]
        assert rows.count("in 1 h 59 min") == 3
        assert "costs no money" in rows
        made.delete()
