"""The tags by which everything that this project creates is found again, and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import TagTypeDef

CREATED_BY: Final = "dogbreed:created-by"
CREATED_BY_VALUE: Final = "dogbreed-sdk"
# When an endpoint may be deleted: UTC in ISO 8601 with seconds, for example 2026-11-30T14:00:00Z.
EXPIRES_AT: Final = "dogbreed:expires-at"
# That EventBridge Scheduler was asked to delete the endpoint then.
SCHEDULED: Final = "dogbreed:scheduled"
# The endpoint that a model or an endpoint configuration was created for, by an update: their names do not say it.
ENDPOINT: Final = "dogbreed:endpoint"
# On an endpoint: which variants Application Auto Scaling scales, and what of them, so that its deletion can end that.
AUTOSCALED: Final = "dogbreed:autoscaled"
# API reference, Tag, and the members Tags of requests.
_MOST = 50
_LONGEST_KEY = 128
_LONGEST_VALUE = 256
_SIGNS = "_.:/=+-@"


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether a resource with these tags was created by this project."""
    return tags.get(CREATED_BY) == CREATED_BY_VALUE


def project_tags(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's tags, and the one that marks what this project created, which a caller cannot replace.

    Raises:
        ConfigurationError: AWS would refuse a tag, or there are too many.
    """
    tags = {**(given or {}), CREATED_BY: CREATED_BY_VALUE}
    if len(tags) > _MOST:
        raise ConfigurationError(f"There are {len(tags)} tags, with {CREATED_BY}; AWS accepts {_MOST}.")
    for key, value in tags.items():
        _check(key, value)
    return tags


def _check(key: str, value: str) -> None:
    texts = isinstance(key, str) and isinstance(value, str)
    if texts and key.lower().startswith("aws:"):
        raise ConfigurationError(f"The tag {key!r} begins with aws:, which is reserved; choose another key.")
    if not texts or not 1 <= len(key) <= _LONGEST_KEY or len(value) > _LONGEST_VALUE or not _allowed(key + value):
        raise ConfigurationError(
            f"AWS would refuse the tag {str(key)[:80]!r}: {str(value)[:80]!r}. Keys have 1 to {_LONGEST_KEY} "
            f"characters and values up to {_LONGEST_VALUE}: letters, digits, spaces and {' '.join(_SIGNS)}"
        )


def _allowed(text: str) -> bool:
    return all(character.isalnum() or character in _SIGNS or character == " " for character in text)


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as SageMaker's requests list them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
