"""What the name of an instance type tells."""

from __future__ import annotations

import pytest

from dogbreed_sdk import ConfigurationError
from dogbreed_sdk.aws.requests.instances import check_instance_type, has_gpu, has_local_disks

KNOWN = ["ml.m5.large", "ml.m5.xlarge", "ml.m5d.large", "ml.c5.large"]


def test_a_family_that_is_newer_than_boto3_is_left_to_aws() -> None:
    assert check_instance_type("ml.m99z.large", known=KNOWN, what="an endpoint") == "ml.m99z.large"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("m5.large", "'m5.large' is not an instance type; did you mean ml.m5.large?"),
        ("ml.m5.larg", "no instance type ml.m5.larg for an endpoint; did you mean ml.m5.large?"),
        ("ml.m5.tiny", "sizes of ml.m5: large, xlarge"),
        ("gpu", "'gpu' is not an instance type; SageMaker's are written like ml.m5.large"),
    ],
)
def test_a_typing_error_is_refused_with_what_was_probably_meant(written: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_instance_type(written, known=KNOWN, what="an endpoint")
    assert message in str(caught.value)


def test_disks_inside_the_host_are_known_by_family() -> None:
    with_disks = [
        "m5d",
        "c6gd",
        "r7gd",
        "g4dn",
        "g5",
        "g6e",
        "g7",
        "p3dn",
        "p4d",
        "p4de",
        "p5",
        "p5en",
        "p6-b200",
        "p6e-gb200",
        "trn1",
        "trn1n",
        "trn2",
        "dl1",
    ]
    without = ["t2", "m4", "m5", "m7i", "c5", "c6in", "c7g", "m8g", "r6i", "p2", "p3", "inf1", "inf2"]
    assert [family for family in with_disks if not has_local_disks(f"ml.{family}.xlarge")] == []
    assert [family for family in without if has_local_disks(f"ml.{family}.xlarge")] == []


def test_gpus_are_known_by_family() -> None:
    assert [family for family in ("g5", "p3", "p6-b200", "m5", "inf2", "trn1") if has_gpu(f"ml.{family}.xlarge")] == [
        "g5",
        "p3",
        "p6-b200",
    ]
