"""Tags of all kinds of resources, by ARN: add, list, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk.local.api.common import MAX_TAGS, Context, Members, Operation, tags_of
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.store import NotFound, Record

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import AddTagsInputTypeDef, DeleteTagsInputTypeDef, ListTagsInputTypeDef


def add_tags(context: Context, request: AddTagsInputTypeDef) -> Members:
    """AddTags: a key that the resource already has gets the new value."""
    arn, new = _find(context, request["ResourceArn"]).arn, tags_of(request["Tags"])
    with context.store.transaction():
        merged = {**context.store.tags(arn), **new}
        if len(merged) > MAX_TAGS:
            raise validation_error(f"{arn} would have {len(merged)} tags; a resource may have {MAX_TAGS}.")
        context.store.set_tags(arn, new)
    return {"Tags": _as_list(merged)}


def list_tags(context: Context, request: ListTagsInputTypeDef) -> Members:
    """ListTags: all of them in one page, as there are at most 50."""
    return {"Tags": _as_list(context.store.tags(_find(context, request["ResourceArn"]).arn))}


def delete_tags(context: Context, request: DeleteTagsInputTypeDef) -> Members:
    """DeleteTags."""
    context.store.remove_tags(_find(context, request["ResourceArn"]).arn, request["TagKeys"])
    return {}


def _find(context: Context, arn: str) -> Record:
    try:
        return context.store.find_arn(arn)
    except NotFound:
        raise validation_error(f'Could not find resource "{arn}".') from None


def _as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


OPERATIONS: dict[str, Operation] = {"AddTags": add_tags, "ListTags": list_tags, "DeleteTags": delete_tags}
