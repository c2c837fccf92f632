"""The network of an AWS account in which jobs and models run, instead of SageMaker's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import VpcConfigTypeDef

# API reference, VpcConfig: at most 16 subnets and 5 security groups, of at most 32 characters each.
_MOST_SUBNETS = 16
_MOST_SECURITY_GROUPS = 5
_ID = r"{prefix}-[-0-9a-zA-Z]+"
_LONGEST_ID = 32


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """Subnets and security groups for jobs and models.

    Containers in a VPC reach S3 only if the VPC has an endpoint for it (or a route through a NAT gateway), and download
    nothing from the internet without a NAT gateway.

    Attributes:
        subnets: Ids of 1 to 16 subnets, such as ``subnet-0a1b2c3d``; in several zones, so that capacity is found.
        security_groups: Ids of 1 to 5 security groups of the same VPC, such as ``sg-0a1b2c3d``.

    Raises:
        ConfigurationError: There are too few or too many, or one of them is not such an id.

    Examples:
        >>> vpc = Vpc(subnets=["subnet-0a1b2c3d"], security_groups=["sg-0a1b2c3d"])
        >>> Session.aws(vpc=vpc).vpc.as_request()
        {'SecurityGroupIds': ['sg-0a1b2c3d'], 'Subnets': ['subnet-0a1b2c3d']}
    """

    subnets: Sequence[str]
    security_groups: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "subnets", _checked("subnets", self.subnets, "subnet", _MOST_SUBNETS))
        groups = _checked("security_groups", self.security_groups, "sg", _MOST_SECURITY_GROUPS)
        object.__setattr__(self, "security_groups", groups)

    def as_request(self) -> VpcConfigTypeDef:
        """The member VpcConfig of SageMaker's requests."""
        return {"SecurityGroupIds": list(self.security_groups), "Subnets": list(self.subnets)}


def _checked(name: str, given: Sequence[str], prefix: str, most: int) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigurationError(f"Vpc.{name} is the text {given!r}; pass a list of ids.")
    ids = tuple(given)
    wrong = [each for each in ids if not isinstance(each, str) or not _is_id(each, prefix)]
    if wrong:
        raise ConfigurationError(f"Vpc.{name} contains {wrong[0]!r}; an id looks like {prefix}-0a1b2c3d4e5f60718.")
    if not 1 <= len(ids) <= most:
        raise ConfigurationError(f"Vpc.{name} has {len(ids)} ids; SageMaker accepts 1 to {most}.")
    if len(set(ids)) < len(ids):
        raise ConfigurationError(f"Vpc.{name} contains an id twice: {', '.join(ids)}.")
    return ids


def _is_id(text: str, prefix: str) -> bool:
    return len(text) <= _LONGEST_ID and re.fullmatch(_ID.format(prefix=prefix), text) is not None
