"""An endpoint in a notebook: its status, and what answers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped, percent
from dogbreed_sdk.pages import cards
from dogbreed_sdk.pages.markup import element

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef, ProductionVariantSummaryTypeDef

    from dogbreed_sdk.errors import DogBreedError


def unread_card(name: str, error: DogBreedError) -> str:
    """The card of an endpoint that cannot be read: no error in place of a notebook's value."""
    return cards.card(f"Endpoint {name}", note=clipped(error, 600), color=cards.GRAY)


def endpoint_card(name: str, described: DescribeEndpointOutputTypeDef) -> str:
    """The card of an endpoint.

    Args:
        name: Its name.
        described: SageMaker's description.
    """
    status = described["EndpointStatus"]
    variants = described.get("ProductionVariants", [])
    total = sum(variant.get("CurrentWeight", 0.0) for variant in variants) or 1.0
    rows = [
        [variant["VariantName"], _capacity(variant), percent(variant.get("CurrentWeight", 0.0) / total)]
        for variant in variants
    ]
    reason = described.get("FailureReason", "")
    return cards.card(
        f"Endpoint {name}",
        cards.table(["variant", "capacity", "share of requests"], rows, numeric=[2]) if rows else None,
        element("div", clipped(reason, 600)) if reason else None,
        element("div", element("code", "deployment.classifier(), deployment.metrics(), deployment.delete()")),
        color=cards.status_color(status),
        note=f"{status} since {described['LastModifiedTime']:%Y-%m-%d %H:%M}",
    )


def _capacity(variant: ProductionVariantSummaryTypeDef) -> str:
    serverless = variant.get("CurrentServerlessConfig")
    if serverless:
        return f"serverless, {serverless['MemorySizeInMB']} MB"
    count = variant.get("CurrentInstanceCount")
    return "" if count is None else f"{count} instance{'s' if count != 1 else ''}"
