"""The JSONPath that AWS documents for batch transform jobs, and nothing beyond."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.transform.json_path import JsonPath, JsonPathError

RECORD = {"id": {"a": 1, "b": 2}, "features": [10, 11, 12, 13], "SageMakerOutput": [0.5], "it's": 7}
ROW = ["7", "a", "b", "c"]


@pytest.mark.parametrize(
    ("path", "document", "selected"),
    [
        ("$", RECORD, RECORD),
        ("$.features", RECORD, [10, 11, 12, 13]),
        ("$.id.b", RECORD, 2),
        ("$.id.*", RECORD, [1, 2]),
        ("$['id']", RECORD, {"a": 1, "b": 2}),
        ("$['id']['a']", RECORD, 1),
        ("$['id','SageMakerOutput']", RECORD, {"id": {"a": 1, "b": 2}, "SageMakerOutput": [0.5]}),
        ("$.id.['a', 'b']", RECORD, {"a": 1, "b": 2}),
        (r"$['it\'s']", RECORD, 7),
        ("$.features[0]", RECORD, 10),
        ("$.features[-1]", RECORD, 13),
        ("$.features[*]", RECORD, [10, 11, 12, 13]),
        ("$[0]", ROW, "7"),
        ("$[1:]", ROW, ["a", "b", "c"]),
        ("$[:2]", ROW, ["7", "a"]),
        ("$[1:3]", ROW, ["a", "b"]),
        ("$[0:-1]", ROW, ["7", "a", "b"]),
        ("$[-2:]", ROW, ["b", "c"]),
        ("$[0,-1]", ROW, ["7", "c"]),
        ("$[0, 2:]", ROW, ["7", "b", "c"]),
        ("$[*]", [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ("$[*].a", [{"a": 1}, {"a": 2}], [1, 2]),
    ],
)
def test_a_path_selects(path: str, document: Any, selected: Any) -> None:
    assert JsonPath.parse(path).select(document) == selected


@pytest.mark.parametrize(
    ("path", "document", "problem"),
    [
        ("$[4]", ROW, "selects element 4 of 4"),
        ("$[0,-5]", ROW, "selects element -5 of 4"),
        ("$.name", RECORD, "selects 'name', which the record does not have"),
        ("$['id','name']", RECORD, "selects 'name'"),
        ("$.id", ROW, "where the record has no object"),
        ("$[0]", RECORD, "where the record has no array"),
        ("$.features[0].*", RECORD, "has neither an object nor an array"),
    ],
)
def test_what_a_record_lacks_is_named(path: str, document: Any, problem: str) -> None:
    with pytest.raises(JsonPathError, match=problem):
        JsonPath.parse(path).select(document)


@pytest.mark.parametrize(
    "path",
    ["", "features", "$..id", "$[?(@.a)]", "$[0:4:2]", "$[a]", "$['a'", "$[]", "$['a' 'b']", "$[1,]", "$.", "$.a b"],
)
def test_anything_else_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="JSONPath"):
        JsonPath.parse(path)
