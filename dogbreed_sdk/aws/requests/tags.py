"""The tags by which everything that this project creates is found again, and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import TagTypeDef

CREATED_BY: Final = "dogbreed:created-by"
CREATED_BY_VALUE: Final = "dogbreed-sdk"
# When an endpoint may be deleted: UTC in ISO 8601 with seconds, for example 2026-11-30T14:00:00Z.
EXPIRES_AT: Final = "dogbreed:expires-at"
# The endpoint that a model or an endpoint configuration was created for, by an update: their names do not say it.
ENDPOINT: Final = "dogbreed:endpoint"
# On an endpoint: which variant Application Auto Scaling scales, and what of it, so that its deletion can end that.
AUTOSCALED: Final = "dogbreed:autoscaled"


def project_tags(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's tags, and the one that marks what this project created, which a caller cannot replace."""
    return {**(given or {}), CREATED_BY: CREATED_BY_VALUE}


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as SageMaker's requests list them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
