"""A batch transform job of our own bundle: each picture's output is what an endpoint answers for it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.local.jobs.artifacts import pack
from tests.conftest import draw_shape
from tests.local.conftest import IMAGE, ROLE, ClientMaker
from tests.local.transform.conftest import create_request
from tests.training_scripts.conftest import write_bundle
from tests.waiting import wait_for


def test_a_picture_gets_the_answer_that_an_endpoint_gives(sagemaker: Any, client: ClientMaker, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    pack(tmp_path / "bundle", tmp_path / "model.tar.gz")
    container = {"Image": IMAGE, "ModelDataUrl": (tmp_path / "model.tar.gz").as_uri()}
    sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    generator = random.Random(1)
    source, target = tmp_path / "pictures", tmp_path / "out"
    for number in range(12):
        (source / f"class-{number % 3}").mkdir(parents=True, exist_ok=True)
        picture = draw_shape(("disc", "square", "stripes")[number % 3], generator)
        picture.save(source / f"class-{number % 3}/{number}.jpg", quality=90)
    (source / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    request = create_request(source, target, ContentType="image/jpeg")
    sagemaker.create_transform_job(**request)
    variant = {"VariantName": "v", "ModelName": "model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName="config")

    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = sagemaker.describe_transform_job(TransformJobName="job")
        return described if described["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    described = wait_for(ended)
    assert described["FailureReason"].startswith("ClientError: See job logs for more information. 1 of 13 objects")
    assert "broken.jpg: ClientError: 4" in described["FailureReason"]
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName="endpoint")["EndpointStatus"] == "InService")
    runtime = client("sagemaker-runtime")
    pictures = sorted(source.rglob("*/*.jpg"))
    assert len(pictures) == len(list(target.rglob("*.out"))) == 12
    for picture in pictures:
        body = picture.read_bytes()
        answer = runtime.invoke_endpoint(EndpointName="endpoint", ContentType="image/jpeg", Body=body)
        expected = json.loads(answer["Body"].read())
        output = json.loads((target / picture.relative_to(source)).with_suffix(".jpg.out").read_bytes())
        assert output == [pytest.approx(expected[0], rel=1e-4)]  # a batch may be summed in another order
    sagemaker.delete_endpoint(EndpointName="endpoint")
