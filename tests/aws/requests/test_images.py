"""AWS's PyTorch images: by region, instance type and version, and what is said where there is none."""

from __future__ import annotations

import pytest

from dogbreed_sdk import ConfigurationError

pytestmark = pytest.mark.extras

CPU, GPU = "ml.m5.xlarge", "ml.g5.xlarge"
GOVERNMENT = {"region": "us-gov-west-1"}


def image(
    scope: str = "training", region: str = "eu-central-1", instance_type: str = CPU, version: str | None = None
) -> str:
    from dogbreed_sdk.aws.requests.images import pytorch_image_uri  # noqa: PLC0415 - sagemaker.core loads

    return pytorch_image_uri(scope, region=region, instance_type=instance_type, framework_version=version)


@pytest.mark.parametrize(
    ("ending", "given"),
    [
        ("763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch-training:2.6-cpu-py312", {}),
        ("/pytorch-inference:2.6-gpu-py312", {"scope": "inference", "instance_type": GPU}),
        ("/pytorch-training:2.8.0-gpu-py312", {"instance_type": GPU, "version": "2.8.0"}),
        ("/pytorch-training:2.10-cpu-py313", {"version": "2.10"}),
        ("442386744353.dkr.ecr.us-gov-west-1.amazonaws.com/pytorch-training:2.6-cpu-py312", GOVERNMENT),
        ("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-training:2.6-cpu-py312", {"region": "cn-north-1"}),
    ],
)
def test_the_image_is_the_regions_for_the_instance_and_version(ending: str, given: dict[str, str]) -> None:
    assert image(**given).endswith(ending)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"version": "2.11"}, r"no PyTorch 2\.11 training image in eu-central-1 .* framework_version='2\.6' or '2\.7'"),
        ({"version": "1.13"}, r"no PyTorch 1\.13 training image .* framework_version='2\.6' or"),
        (
            {"scope": "inference", "version": "2.8"},
            r"no PyTorch 2\.8 inference image .* framework_version='2\.6', or your",
        ),
        ({"region": "mars-north-1"}, "no PyTorch training image in mars-north-1 .* choose another region"),
    ],
)
def test_a_version_or_region_without_an_image_is_told_which_there_are(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        image(**given)


@pytest.mark.parametrize("instance_type", ["ml.c7g.large", "ml.m8g.large", "ml.r8g.medium", "ml.c8g.xlarge"])
def test_instances_with_graviton_get_an_image_for_arm(instance_type: str) -> None:
    uri = image("inference", instance_type=instance_type)
    assert "pytorch-inference-arm64:2.6-cpu" in uri
