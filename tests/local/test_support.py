"""The support tables: every member of every request is in one, and requests are judged by them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.exceptions import ClientError
from packaging.version import Version

from dogbreed_sdk.local.api import invocations, operations
from dogbreed_sdk.local.api.operations import SERVICES
from dogbreed_sdk.local.api.validation import operation_model, service_model
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.support import tables
from dogbreed_sdk.local.support.not_offered import NOT_OFFERED, why_not_offered
from dogbreed_sdk.local.support.rows import Row, Table, no_meaning, refused, routine, works
from dogbreed_sdk.local.support.tables import TABLES

# Members whose value is only compared: every value works, those of a newer AWS too.
COMPARED = ("StatusEquals",)
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
# The tables describe this version of botocore's model; an older one lacks members that they have.
DESCRIBED = Version(re.findall(r"(?m)^botocore==(\S+)$", CONSTRAINTS.read_text("utf-8"))[0])
IS_OLDER = Version(botocore.__version__) < DESCRIBED


def misfits(node: Row | Table, shape: Any, path: str) -> Iterator[str]:
    """Where a table and the shape of botocore's model disagree."""
    while shape.type_name == "list":
        shape = shape.member
    if not isinstance(node, Row):
        if shape.type_name != "structure":
            yield f"{path} has a table, but is a {shape.type_name}"
            return
        for name in {**node, **shape.members}:
            if name not in node:
                yield f"{path}.{name} has no row"
            elif name in shape.members:
                yield from misfits(node[name], shape.members[name], f"{path}.{name}")
            elif not IS_OLDER:
                yield f"{path}.{name} is not in botocore's model"
        return
    values = shape.metadata.get("enum")
    if values and not IS_OLDER and not set(node.only) <= set(values):
        yield f"{path} accepts values that botocore does not: {set(node.only) - set(values)}"
    if node.support == "works":
        if shape.type_name == "structure":
            yield f"{path} is a structure: say for each member below it whether it works"
        if values and not node.only and path.rpartition(".")[2] not in COMPARED:
            yield f"{path} is an enumeration: say which values work, as AWS may add others"


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.model)
def test_every_member_of_every_operation_has_a_row(service: operations.Service) -> None:
    table = TABLES[service.model]
    assert set(table) == set(service.operations)
    names = service_model(service.model).operation_names
    found = []
    for name, node in table.items():
        assert IS_OLDER or name in names
        if name in names:
            found += misfits(node, operation_model(service.model, name).input_shape, name)
    assert found == []


def test_every_member_of_an_invocation_has_a_row_and_is_known_by_its_header() -> None:
    for name, table in TABLES["sagemaker-runtime"].items():
        shape = operation_model("sagemaker-runtime", name).input_shape
        assert list(misfits(table, shape, name)) == []
        if name != "InvokeEndpoint":  # the others read the names of headers from botocore's model
            continue
        headers = {member: entry.serialization.get("name", "").lower() for member, entry in shape.members.items()}
        ours = {member: header for member, header in headers.items() if header.startswith("x-amzn-sagemaker-")}
        assert {member: invocations._member(header) for member, header in ours.items()} == {
            member: member for member in ours
        }


def test_a_member_that_botocore_adds_below_a_structure_that_is_read_is_noticed() -> None:
    shape = operation_model("sagemaker", "CreateTrainingJob").input_shape
    table = dict(TABLES["sagemaker"]["CreateTrainingJob"])  # type: ignore[arg-type]
    assert list(misfits(table, shape, "r")) == []
    channel = {**table["InputDataConfig"]}  # type: ignore[dict-item]
    del channel["InputMode"]
    assert list(misfits({**table, "InputDataConfig": channel}, shape, "r")) == [
        "r.InputDataConfig.InputMode has no row"
    ]
    (complaint,) = misfits({**table, "OutputDataConfig": works()}, shape, "r")
    assert complaint.startswith("r.OutputDataConfig is a structure")
    (complaint,) = misfits({**table, "InputDataConfig": {**channel, "InputMode": works()}}, shape, "r")
    assert complaint.startswith("r.InputDataConfig.InputMode is an enumeration")


def test_each_operation_that_is_said_to_be_missing_is_one_of_aws_and_is_missing() -> None:
    names = set(service_model("sagemaker").operation_names)
    for words, why in NOT_OFFERED.items():
        assert IS_OLDER or all(any(word in name for name in names) for word in words), words
        assert not why.endswith("."), why
    assert [name for name in TABLES["sagemaker"] if why_not_offered(name)] == []


def test_what_is_not_supported_says_what_to_do() -> None:
    nodes: list[Row | Table] = list(TABLES.values())
    while nodes:
        node = nodes.pop()
        if not isinstance(node, Row):
            nodes += node.values()
        elif node.support != "works":
            assert node.note, node
            assert not node.note.endswith("."), node


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], None]:
    """Replaces DescribeModel's table."""
    return lambda rows: monkeypatch.setitem(tables.TABLES, "service", {"Do": rows})  # type: ignore[call-overload]


def test_refused_members_and_values_are_named_with_their_reason(table: Callable[[Table], None]) -> None:
    table(
        {
            "Name": works(),
            "Mode": works(only=("A", "B")),
            "Parts": {"Kind": refused("leave it out"), "Sizes": works("small ones", only=(1, 2))},
            "Capture": {"Enable": refused("nothing is captured", unless=(False,))},
        }
    )
    request = {
        "Name": "n",
        "Mode": "C",
        "Parts": [{"Kind": None, "Sizes": [1, 2]}, {"Kind": {"x": 1}, "Sizes": [3]}],
        "Capture": {"Enable": True},
        "New": "x",
    }
    assert tables.refusals("service", "Do", request) == [
        "Mode 'C' (accepted: A, B)",
        "Parts[1].Kind (leave it out)",
        "Parts[1].Sizes '[3]' (small ones; accepted: 1, 2)",
        "Capture.Enable 'True' (nothing is captured)",
        "New (this version of local SageMaker does not know the member; leave it out, or update dogbreed-sdk)",
    ]
    harmless = {"Mode": "A", "Parts": [{"Kind": {}}, {"Kind": []}], "Capture": {"Enable": False}, "New": None}
    assert tables.refusals("service", "Do", harmless) == []


def test_a_switch_whose_one_value_works_is_refused_with_the_other() -> None:
    assert tables.refusals("logs", "FilterLogEvents", {"startFromHead": True}) == []
    assert tables.refusals("logs", "FilterLogEvents", {"startFromHead": False}) == [
        "startFromHead 'False' (events come oldest first; accepted: True)"
    ]


def test_members_without_meaning_are_listed_once_and_ordinary_ones_not_at_all(
    table: Callable[[Table], None],
) -> None:
    table({"Parts": {"Key": no_meaning("nothing is encrypted")}, "Role": routine("nothing is checked")})
    request = {"Parts": [{"Key": "k"}, {"Key": "l"}], "Role": "r"}
    assert tables.without_meaning("service", "Do", request) == {"Parts.Key": "nothing is encrypted"}
    assert tables.without_meaning("service", "Do", {"Parts": [{"Key": ""}]}) == {}


def test_the_api_refuses_all_unsupported_members_at_once(empty_sagemaker: Any) -> None:
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError) as caught:
        empty_sagemaker.create_endpoint_config(
            EndpointConfigName="c",
            ProductionVariants=[variant],
            ShadowProductionVariants=[variant],
            ExplainerConfig={"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {}}}},
        )
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Local SageMaker does not support ShadowProductionVariants (shadows get no requests; create "
        "another endpoint for one); ExplainerConfig (there is no Clarify; leave it out).",
    }


def test_a_refusal_has_the_code_of_its_service() -> None:
    with pytest.raises(ApiError) as caught:
        operations._check_support("logs", "FilterLogEvents", {"startFromHead": False})
    assert caught.value.code == "InvalidParameterException"


def test_the_servers_log_names_a_member_without_meaning_once(sagemaker: Any, caplog: pytest.LogCaptureFixture) -> None:
    operations._log_once.cache_clear()
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    with caplog.at_level(logging.INFO, "dogbreed_sdk.local.api.operations"):
        for name in ("a", "b"):
            sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "i"}, VpcConfig=vpc)
    (message,) = caplog.messages
    assert message.startswith("CreateModel: VpcConfig has no effect here: jobs and models have this machine's")
    assert sagemaker.describe_model(ModelName="a")["VpcConfig"] == vpc


def test_a_jobs_log_names_the_members_without_meaning(
    sagemaker: Any,
    client: Any,
    training_request: Callable[..., dict[str, Any]],
    script: Callable[[str], dict[str, str]],
    ended: Callable[[str], dict[str, Any]],
) -> None:
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    request = training_request("dogs", script("print('hello')"), VpcConfig=vpc, EnableNetworkIsolation=True)
    sagemaker.create_training_job(**request)
    job = ended("dogs")
    assert job["VpcConfig"] == vpc
    logs = client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="dogs/")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert [event["message"] for event in events["events"]] == [
        "VpcConfig has no effect on local SageMaker: jobs and models have this machine's network.",
        "EnableNetworkIsolation has no effect on local SageMaker: jobs and models have this machine's network.",
        "hello",
    ]
