"""Tags: the one of this project is always there, and those that AWS would refuse are refused."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed_sdk import ConfigurationError
from dogbreed_sdk.aws.requests.tags import CREATED_BY, project_tags


def test_the_projects_tag_is_added_and_cannot_be_replaced() -> None:
    assert project_tags({"cost center": "42/é", CREATED_BY: "me"}) == {
        "cost center": "42/é",
        CREATED_BY: "dogbreed-sdk",
    }


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"": "x"}, "AWS would refuse the tag ''"),
        ({"k" * 129: "x"}, "Keys have 1 to 128 characters"),
        ({"team": "v" * 257}, "values up to 256"),
        ({"team": "dogs!"}, "refuse the tag 'team': 'dogs!'"),
        ({"team": 7}, "refuse the tag 'team': '7'"),
        ({"AWS:team": "dogs"}, "begins with aws:, which is reserved"),
        ({f"k{number}": "" for number in range(50)}, "51 tags, with dogbreed:created-by; AWS accepts 50"),
    ],
)
def test_a_tag_that_aws_would_refuse_is_refused(tags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        project_tags(tags)
