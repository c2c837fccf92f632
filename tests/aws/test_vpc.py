"""A VPC is checked before anything is sent, and a session carries it and its key wherever it goes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import ConfigurationError, Session, Vpc

SUBNETS = ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]
GROUPS = ["sg-0a1b2c3d"]


def test_ids_are_kept_in_order_and_cannot_change() -> None:
    vpc = Vpc(subnets=SUBNETS, security_groups=GROUPS)
    assert (vpc.subnets, vpc.security_groups) == (tuple(SUBNETS), tuple(GROUPS))
    assert hash(vpc) == hash(Vpc(subnets=tuple(SUBNETS), security_groups=tuple(GROUPS)))


@pytest.mark.parametrize(
    ("subnets", "groups", "message"),
    [
        ("subnet-1", GROUPS, "subnets is the text"),
        (SUBNETS, "sg-1", "security_groups is the text"),
        ([], GROUPS, "subnets has 0 ids; SageMaker accepts 1 to 16"),
        (SUBNETS, [f"sg-{number}" for number in range(6)], "security_groups has 6 ids; SageMaker accepts 1 to 5"),
        (GROUPS, SUBNETS, "subnets contains 'sg-0a1b2c3d'; an id looks like subnet-"),
        (SUBNETS, ["vpc-1"], "security_groups contains 'vpc-1'; an id looks like sg-"),
        ([*SUBNETS, SUBNETS[0]], GROUPS, "subnets contains an id twice"),
        (["subnet-" + "a" * 30], GROUPS, "subnets contains"),
        ([7], GROUPS, "subnets contains 7"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_at_once(
    subnets: Sequence[str], groups: Sequence[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Vpc(subnets=subnets, security_groups=groups)


def test_a_session_carries_key_and_vpc_into_other_processes() -> None:
    vpc = Vpc(subnets=SUBNETS, security_groups=GROUPS)
    session = pickle.loads(pickle.dumps(Session.aws(region="us-east-1", kms_key="alias/dogs", vpc=vpc)))
    assert (session.kms_key, session.vpc) == ("alias/dogs", vpc)


def test_local_sessions_have_neither(tmp_path: Path) -> None:
    session = Session.local(tmp_path)
    assert (session.kms_key, session.vpc) == (None, None)


@pytest.mark.parametrize(
    "setting", [{"kms_key": ""}, {"kms_key": "a key"}, {"kms_key": 5}, {"vpc": {"subnets": SUBNETS}}, {"vpc": SUBNETS}]
)
def test_other_kinds_of_keys_and_vpcs_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"pass the id|pass Vpc\("):
        Session.aws(**setting)
