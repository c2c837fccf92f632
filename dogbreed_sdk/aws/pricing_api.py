"""AWS's Pricing API: the current on-demand prices of SageMaker's instances.

It needs the permission ``pricing:GetProducts``, costs nothing, and answers with one JSON document per product.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.prices import Price, Use
from dogbreed_sdk.errors import AccessError

if TYPE_CHECKING:
    from types_boto3_pricing import PricingClient
    from types_boto3_pricing.type_defs import FilterTypeDef

SOURCE: Final = "pricing-api"
_SERVICE = "AmazonSageMaker"
# The attribute ``component`` of a product; other components (Notebook, Processing, …) are not needed here.
_USES: Final[Mapping[str, Use]] = {"training": "training", "hosting": "hosting", "batchtransform": "transform"}
# Usage types that have a component's name but another price: kept instances, and managed rules.
_OTHER_USAGE = ("warmpool", "spot", "debugger")
_PER_HOUR = ("hrs", "hours", "hour")


def fetch(client: PricingClient, *, region: str, instance_types: Iterable[str]) -> list[Price]:
    """The current on-demand prices of instance types.

    Args:
        client: A client of the service ``pricing``.
        region: The region whose prices are asked for; the API itself is in a few regions only.
        instance_types: For example ``ml.m5.xlarge``; types that AWS does not offer there have no price.

    Raises:
        AccessError: The permission pricing:GetProducts or a connection is missing.
    """
    found: list[Price] = []
    with translated("ask AWS for prices (permission pricing:GetProducts)", otherwise=AccessError):
        for instance_type in sorted(set(instance_types)):
            filters: list[FilterTypeDef] = [
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
                {"Type": "TERM_MATCH", "Field": "instanceName", "Value": instance_type},
            ]
            for page in client.get_paginator("get_products").paginate(ServiceCode=_SERVICE, Filters=filters):
                products = (parse_product(text) for text in page["PriceList"])
                found += [price for price in products if price is not None and price.region == region]
    return found


def parse_product(text: str) -> Price | None:
    """The price in one document of GetProducts' PriceList; None if it is not the hourly price of an instance.

    Args:
        text: JSON as the Price List Query API returns it: product, terms, publicationDate.
    """
    document: Mapping[str, Any] = json.loads(text)
    attributes = document.get("product", {}).get("attributes", {})
    use = _USES.get(str(attributes.get("component", "")).replace(" ", "").casefold())
    usage = str(attributes.get("usagetype", "")).casefold()
    if use is None or any(word in usage for word in _OTHER_USAGE):
        return None
    hourly = [usd for usd in _hourly(document.get("terms", {})) if usd > 0]
    item = str(attributes.get("instanceName", ""))
    if not hourly or not item.startswith("ml."):
        return None
    return Price(
        region=str(attributes.get("regionCode", "")),
        item=item,
        use=use,
        usd=hourly[0],
        as_of=_published(document),
        source=SOURCE,
    )


def _hourly(terms: Mapping[str, Any]) -> Iterator[float]:
    """On-demand prices per hour, of which a product has one."""
    for offer in terms.get("OnDemand", {}).values():
        for dimension in offer.get("priceDimensions", {}).values():
            usd = dimension.get("pricePerUnit", {}).get("USD")
            if usd is not None and str(dimension.get("unit", "")).casefold() in _PER_HOUR:
                yield float(usd)


def _published(document: Mapping[str, Any]) -> date:
    try:
        return date.fromisoformat(str(document.get("publicationDate", ""))[:10])
    except ValueError:
        return datetime.now(timezone.utc).date()
