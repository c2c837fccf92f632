"""Whether the account may start the instances that are asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk.doctor.check import Check, failed, passed, warned

if TYPE_CHECKING:
    from types_boto3_service_quotas import ServiceQuotasClient

Use = Literal["training", "spot", "warm pool", "endpoint", "transform"]
# Names of SageMaker's quotas, after the instance type (Service Quotas console, Amazon SageMaker).
_SUFFIXES: Mapping[Use, str] = {
    "training": "for training job usage",
    "spot": "for spot training job usage",
    "warm pool": "for training warm pool usage",
    "endpoint": "for endpoint usage",
    "transform": "for transform job usage",
}


@dataclass(frozen=True)
class Demand:
    """Instances that somebody wants to run at the same time.

    Attributes:
        instance_type: For example ``ml.m5.xlarge``.
        use: What for; each use has its own quota.
        count: Number of instances.
    """

    instance_type: str
    use: Use
    count: int = 1

    @property
    def quota_name(self) -> str:
        """SageMaker's name of the quota."""
        return f"{self.instance_type} {_SUFFIXES[self.use]}"


def check_quotas(quotas: ServiceQuotasClient, demands: list[Demand], region: str) -> Iterator[Check]:
    """Yields a check per demand; the number of instances that run already is not known to Service Quotas."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    try:
        values = _values(quotas, {demand.quota_name for demand in demands})
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        yield warned(
            "quotas",
            f"cannot be read ({code})",
            "Request servicequotas:ListServiceQuotas, or look under Service Quotas, Amazon SageMaker, in the console.",
        )
        return
    for demand in demands:
        yield _check(demand, values.get(demand.quota_name), region)


def _values(quotas: ServiceQuotasClient, names: set[str]) -> dict[str, tuple[float, str]]:
    """Quota name -> its value and code: the account's own where it has one, else AWS's default."""
    applied = (
        quota
        for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        for quota in page["Quotas"]
    )
    # A quota that has never been changed may be missing from the first list (API reference, ListServiceQuotas).
    default = (
        quota
        for page in quotas.get_paginator("list_aws_default_service_quotas").paginate(ServiceCode="sagemaker")
        for quota in page["Quotas"]
    )
    found: dict[str, tuple[float, str]] = {}
    for quota in itertools.chain(applied, default):
        name = quota.get("QuotaName", "")
        if name in names and name not in found:
            found[name] = (float(quota.get("Value", 0)), quota.get("QuotaCode", ""))
        if len(found) == len(names):
            break
    return found


def _check(demand: Demand, known: tuple[float, str] | None, region: str) -> Check:
    name = f"{demand.use} quota"
    if known is None:
        return warned(
            name,
            f"SageMaker has no quota {demand.quota_name!r} in {region}",
            "Check that the instance type exists there and supports this use.",
        )
    value, code = known
    message = f"{demand.quota_name}: {value:g} in {region}"
    if value >= demand.count:
        return passed(name, message)
    return failed(
        name,
        f"{message}, and {demand.count} {'is' if demand.count == 1 else 'are'} asked for",
        f"Request an increase: aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {code} --desired-value {demand.count} --region {region}; or choose another instance type.",
    )
