"""Requests are judged by botocore's own model, and every problem is named at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dogbreed_sdk.local.api import validation
from dogbreed_sdk.local.api.operations import SERVICES
from dogbreed_sdk.local.api.validation import matches, operation_model, problems, validate
from dogbreed_sdk.local.api.wire import ApiError

ROLE = "arn:aws:iam::000000000000:role/local"


def refusal(operation: str, parameters: dict[str, Any], service: str = "sagemaker") -> ApiError:
    with pytest.raises(ApiError) as caught:
        validate(service, operation, parameters)
    return caught.value


def test_every_problem_is_named_in_one_message() -> None:
    error = refusal(
        "CreateTrainingJob",
        {
            "TrainingJobName": "a_b",
            "RoleArn": "short",
            "ResourceConfig": {"InstanceCount": "1"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 0},
        },
    )
    assert error.code == "ValidationException"
    assert error.status == 400
    assert error.message.startswith("6 validation errors detected: ")
    for text in (
        "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null",
        "Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern",
        "Value 'short' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20",
        "Value '1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must be of type integer",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value",
    ):
        assert text in error.message


@pytest.mark.parametrize(
    ("operation", "parameters", "complaint"),
    [
        ("ListModels", {"SortBy": "Color"}, "'Color' at 'sortBy' .* enum value set: \\[Name, CreationTime\\]"),
        ("ListModels", {"MaxResults": 101}, "'101' at 'maxResults' .* less than or equal to 100"),
        ("ListModels", {"MaxResults": True}, "'true' at 'maxResults' .* type integer"),
        ("ListModels", {"CreationTimeAfter": "yesterday"}, "'yesterday' at 'creationTimeAfter' .* type timestamp"),
        ("ListModels", {"Color": 1}, "'1' at 'Color' .* not known here; allowed are: \\[SortBy,"),
        ("DescribeModel", {"ModelName": "x" * 64}, "length less than or equal to 63"),
        ("DescribeModel", {"ModelName": "dogs\n"}, "regular expression"),
        ("AddTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m", "Tags": [{"Key": "k"}]},
         "Value null at 'tags.1.member.value'"),
        ("CreateModel", {"ModelName": "m", "PrimaryContainer": {"Environment": {"A": 1}}},
         "'1' at 'primaryContainer.environment.A.member' .* type string"),
        ("CreateModel", {"ModelName": "m", "PrimaryContainer": []}, "at 'primaryContainer' .* type structure"),
    ],
)  # fmt: skip
def test_one_wrong_member_is_named_with_its_constraint(
    operation: str, parameters: dict[str, Any], complaint: str
) -> None:
    message = refusal(operation, parameters).message
    assert message.startswith("1 validation error detected: Value")
    assert re.search(complaint, message), message


def test_cloudwatch_logs_has_its_own_name_for_it() -> None:
    assert refusal("GetLogEvents", {"logStreamName": "a*b"}, "logs").code == "InvalidParameterException"


@pytest.mark.parametrize("moment", [1795232965, 1795232965.5, "2026-11-21T03:49:25Z", "2026-11-21T03:49:25.5+01:00"])
def test_times_come_as_numbers_or_as_text(moment: float | str) -> None:
    validate("sagemaker", "ListModels", {"CreationTimeAfter": moment})


def test_file_uris_stand_in_for_s3_uris_and_for_nothing_else() -> None:
    pattern = "(https|s3)://([^/]+)/?(.*)"
    assert matches(pattern, "s3://bucket/key")
    assert matches(pattern, "file:///data/my%20dogs")
    assert not matches(pattern, "file://host/data")
    assert not matches(pattern, "ftp://host/data")
    assert not matches("[a-z]+", "file:///data")


def test_javas_letter_classes_are_understood() -> None:
    pattern = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
    assert matches(pattern, "Größe 12/ä@b")
    assert not matches(pattern, "a;b")


def test_every_pattern_of_the_offered_operations_can_be_checked() -> None:
    def patterns(shape: Any, seen: set[str]) -> set[str]:
        if shape.name in seen:
            return set()
        seen.add(shape.name)
        found = {shape.metadata["pattern"]} if "pattern" in shape.metadata else set()
        members = list(shape.members.values()) if shape.type_name == "structure" else []
        members += [shape.member] if shape.type_name == "list" else []
        members += [shape.key, shape.value] if shape.type_name == "map" else []
        return found.union(*(patterns(member, seen) for member in members))

    for service in SERVICES.values():
        for name in service.operations:
            for pattern in patterns(operation_model(service.model, name).input_shape, set()):
                assert validation._compile(pattern) is not None, pattern


@pytest.mark.parametrize("name", ["a" + "-" * 5000, "a-" * 2500 + "!", "-" * 8000])
def test_hostile_names_are_refused_at_once(name: str) -> None:
    refusal("DescribeTrainingJob", {"TrainingJobName": name})  # a pattern that backtracks would take years


def test_of_many_allowed_values_some_are_listed() -> None:
    resources = {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    with pytest.raises(ApiError) as caught:
        validate("sagemaker", "CreateTrainingJob", {"TrainingJobName": "a", "ResourceConfig": resources})
    (message,) = re.findall(
        r"'ml.huge' at 'resourceConfig.instanceType' .*? enum value set: \[(.*?)\]", str(caught.value)
    )
    shown = message.split(", ")
    assert len(shown) == 11
    assert re.fullmatch(r"… and \d{2,} more", shown[-1])


def test_long_values_are_shown_shortened() -> None:
    message = refusal("DescribeModel", {"ModelName": "x" * 5000}).message
    assert len(message) < 700


def test_answers_can_be_judged_too() -> None:
    shape = operation_model("sagemaker", "ListModels").output_shape
    assert list(problems(shape, {"Models": []})) == []
    assert list(problems(shape, {"Models": [{"ModelName": "m"}]}))
