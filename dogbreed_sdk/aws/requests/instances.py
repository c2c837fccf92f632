"""What the name of an instance type shows: whether it exists, and what its hardware excludes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.suggestions import did_you_mean

_TYPE = re.compile(r"ml\.(?P<family>[a-z]+[0-9]+[a-z0-9-]*)\.(?P<size>[0-9]*[a-z]+)")
# Families with disks inside the host, as EC2's tables of accelerated instances list them; in all other families a "d"
# after the generation says so (m5d, c6gd).
_ACCELERATED_WITH_DISKS = re.compile(r"(g(4dn|5|6|6e|7|7e)|p(3dn|4d|4de|5|5e|5en|6.*|6e.*)|trn[0-9]+n?|dl1)")
_WITH_DISKS = re.compile(r"[a-z]+[0-9]+[a-z]*d[a-z]*")


def check_instance_type(instance_type: str, *, known: Sequence[str], what: str) -> str:
    """The instance type itself, if it can be one.

    A family that this version of boto3 does not know yet is left to AWS; a size that a known family does not have is
    a typing error.

    Args:
        instance_type: For example ``ml.m5.large``.
        known: The types that boto3's description of SageMaker lists for this use.
        what: The use, for messages: "an endpoint".

    Raises:
        ConfigurationError: It is not the name of an instance type, or its family has no such size.
    """
    if instance_type in known:
        return instance_type
    hint = did_you_mean(instance_type if instance_type.startswith("ml.") else f"ml.{instance_type}", known)
    found = _TYPE.fullmatch(instance_type)
    if found is None:
        raise ConfigurationError(
            f"{instance_type!r} is not an instance type{hint or ';'} SageMaker's are written like ml.m5.large."
        )
    family = f"ml.{found['family']}."
    sizes = [each.removeprefix(family) for each in known if each.startswith(family)]
    if sizes:
        raise ConfigurationError(
            f"SageMaker has no instance type {instance_type} for {what}{hint or ';'} sizes of "
            f"{family.rstrip('.')}: {', '.join(sizes)}."
        )
    return instance_type


def has_local_disks(instance_type: str) -> bool:
    """Whether the instance stores on disks inside its host, which have their own size and key.

    A request with a KMS key or a size for the volume of such an instance fails (API reference, CreateEndpointConfig,
    KmsKeyId; developer guide, "Managing storage paths for different types of instance local storage").

    >>> has_local_disks("ml.m5.large"), has_local_disks("ml.m5d.large"), has_local_disks("ml.g5.xlarge")
    (False, True, True)
    """
    family = _family(instance_type)
    return bool(_ACCELERATED_WITH_DISKS.fullmatch(family) or _WITH_DISKS.fullmatch(family))


def has_gpu(instance_type: str) -> bool:
    """Whether the instance has NVIDIA GPUs.

    >>> has_gpu("ml.g5.xlarge"), has_gpu("ml.m5.large")
    (True, False)
    """
    return bool(re.fullmatch(r"[gp][0-9].*", _family(instance_type)))


def is_arm(instance_type: str) -> bool:
    """Whether the instance has AWS's Graviton processors, which do not run images for x86.

    >>> is_arm("ml.m8g.large"), is_arm("ml.c6gn.large"), is_arm("ml.g5.xlarge"), is_arm("ml.m5.large")
    (True, True, False, False)
    """
    return bool(re.fullmatch(r"[cmrtx][0-9]g[a-z]*", _family(instance_type)))


def _family(instance_type: str) -> str:
    return instance_type.removeprefix("ml.").partition(".")[0]
