"""The production variants of an endpoint, as its users see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef


@dataclass(frozen=True)
class Variant:
    """A production variant.

    Attributes:
        name: Its name, for `Prediction.variant` and ``classifier(target_variant=…)``.
        weight: Its weight.
        share: Its share of the requests, 0 to 1.
        instance_count: Its instances now; 0 for a serverless endpoint.
    """

    name: str
    weight: float
    share: float
    instance_count: int


def variants_of(described: DescribeEndpointOutputTypeDef) -> list[Variant]:
    """The variants in SageMaker's description of an endpoint."""
    found = described.get("ProductionVariants", ())
    total = sum(each.get("CurrentWeight", 0.0) for each in found)
    return [
        Variant(
            name=each["VariantName"],
            weight=each.get("CurrentWeight", 0.0),
            share=each.get("CurrentWeight", 0.0) / total if total else 1.0 / len(found),
            instance_count=each.get("CurrentInstanceCount", 0),
        )
        for each in found
    ]
