"""The Pricing API, with answers in the form that AWS documents for GetProducts."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from dogbreed_sdk import PriceTable, Session
from dogbreed_sdk.aws import pricing_api
from dogbreed_sdk.aws.prices import Price
from dogbreed_sdk.errors import AccessError


def product(**changes: Any) -> str:
    """One document of PriceList, as in the Price List Query API's reference, for an endpoint's instance."""
    sku = "JDZQJFUVUR8SUWHS"
    attributes = {
        "servicecode": "AmazonSageMaker",
        "location": "US East (Ohio)",
        "locationType": "AWS Region",
        "regionCode": "us-east-2",
        "instanceName": "ml.g6.xlarge",
        "instanceType": "ml.g6.xlarge-Hosting",
        "component": "Hosting",
        "usagetype": "USE2-Host:ml.g6.xlarge",
        "operation": "RunInstance",
        "vCpu": "4",
        **{name: value for name, value in changes.items() if name not in ("usd", "unit", "published")},
    }
    dimension = {
        "unit": changes.get("unit", "Hrs"),
        "beginRange": "0",
        "endRange": "Inf",
        "description": "$1.1267 per Hosting ml.g6.xlarge hour in US East (Ohio)",
        "appliesTo": [],
        "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
        "pricePerUnit": {"USD": changes.get("usd", "1.1267000000")},
    }
    offer = {
        "sku": sku,
        "offerTermCode": "JRTCKXETXF",
        "effectiveDate": "2026-11-01T00:00:00Z",
        "termAttributes": {},
        "priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension},
    }
    document = {
        "product": {"sku": sku, "productFamily": "ML Instance", "attributes": attributes},
        "serviceCode": "AmazonSageMaker",
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": offer}},
        "version": "20261128000000",
        "publicationDate": changes.get("published", "2026-11-28T17:01:02Z"),
    }
    return json.dumps(document)


def test_a_documented_product_is_a_price() -> None:
    assert pricing_api.parse_product(product()) == Price(
        region="us-east-2",
        item="ml.g6.xlarge",
        use="hosting",
        usd=1.1267,
        as_of=date(2026, 11, 28),
        source="pricing-api",
    )


@pytest.mark.parametrize(
    ("component", "use"), [("Training", "training"), ("Batch Transform", "transform"), ("BatchTransform", "transform")]
)
def test_the_component_is_the_use(component: str, use: str) -> None:
    price = pricing_api.parse_product(product(component=component, usagetype=f"USE2-{component}:ml.g6.xlarge"))
    assert price is not None
    assert price.use == use


@pytest.mark.parametrize(
    "changes",
    [
        {"component": "Notebook"},
        {"component": "Training", "usagetype": "USE2-TrainWarmPool:ml.g6.xlarge"},
        {"usd": "0.0000000000"},
        {"unit": "GB-Mo"},
        {"instanceName": ""},
    ],
)
def test_other_products_are_no_prices_of_instances(changes: dict[str, str]) -> None:
    assert pricing_api.parse_product(product(**changes)) is None


def test_prices_are_asked_for_by_region_and_type_and_all_pages_are_read() -> None:
    client = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b").client("pricing", region_name="us-east-1")
    with Stubber(client) as stubber:
        request = {
            "ServiceCode": "AmazonSageMaker",
            "Filters": [
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-2"},
                {"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.g6.xlarge"},
            ],
        }
        first = {"FormatVersion": "aws_v1", "PriceList": [product()], "NextToken": "more"}
        stubber.add_response("get_products", first, request)
        training = product(component="Training", usagetype="USE2-Train:ml.g6.xlarge", usd="1.12")
        stubber.add_response("get_products", {"PriceList": [training]}, {**request, "NextToken": "more"})
        found = pricing_api.fetch(client, region="us-east-2", instance_types=["ml.g6.xlarge"])
    assert [(price.use, price.usd) for price in found] == [("hosting", 1.1267), ("training", 1.12)]
    table = PriceTable.packaged().with_prices(found)
    assert table.price("ml.g6.xlarge", region="us-east-2", use="training").usd == 1.12
    assert table.price("ml.m5.xlarge", region="us-east-2", use="training").source == "ec2"


def test_a_missing_permission_is_named() -> None:
    client = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b").client("pricing", region_name="us-east-1")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_products", "AccessDeniedException", "not authorized", 400)
        with pytest.raises(AccessError, match="pricing:GetProducts"):
            pricing_api.fetch(client, region="us-east-2", instance_types=["ml.g6.xlarge"])


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [("us-west-2", "us-east-1"), ("eu-west-1", "eu-central-1"), ("ap-northeast-1", "ap-south-1")],
)
def test_the_api_is_reached_where_it_is(region: str, endpoint: str) -> None:
    client = Session.aws(region=region).client("pricing")
    assert client.meta.endpoint_url == f"https://api.pricing.{endpoint}.amazonaws.com"
