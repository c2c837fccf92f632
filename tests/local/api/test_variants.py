"""Endpoints with several production variants: each has a model server, and requests are routed by weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import ENDPOINT
from tests.local.api.test_models import archive, delete_quietly, status_reached, variant
from tests.waiting import wait_for

AddModel = Callable[..., None]


@pytest.fixture
def add_model(sagemaker: Any, tmp_path: Path) -> AddModel:
    def add(name: str, word: str, **code: str) -> None:
        url = archive(tmp_path / "models" / name, word, **code)
        container = {"Image": "i", "ModelDataUrl": url, "Environment": {"SAGEMAKER_PROGRAM": "inference.py"}}
        sagemaker.create_model(ModelName=name, PrimaryContainer=container)

    return add


def add_config(sagemaker: Any, name: str, **weights: float) -> None:
    """A configuration whose variants are named like their models."""
    variants = [variant(model, VariantName=model, InitialVariantWeight=weight) for model, weight in weights.items()]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)


@pytest.fixture
def endpoint(sagemaker: Any, add_model: AddModel) -> Iterator[dict[str, Any]]:
    """An endpoint "shout": variant `old` answers with "!" at the end, `new` with "?" and has a fourth of the weight."""
    add_model("old", "!")
    add_model("new", "?")
    add_config(sagemaker, "both", old=3, new=1)
    sagemaker.create_endpoint(EndpointName="shout", EndpointConfigName="both")
    yield status_reached(sagemaker, "shout", "InService", "Failed")
    delete_quietly(sagemaker, "shout")


def ask(runtime: Any, **members: Any) -> tuple[str, str]:
    """The variant that answered, and its answer."""
    answer = runtime.invoke_endpoint(
        EndpointName="shout", Body=b"wuff", ContentType="text/plain", Accept="text/plain", **members
    )
    return answer["InvokedProductionVariant"], answer["Body"].read().decode()


def described_weights(sagemaker: Any) -> dict[str, float]:
    described = sagemaker.describe_endpoint(EndpointName="shout")
    return {each["VariantName"]: each["CurrentWeight"] for each in described["ProductionVariants"]}


def test_requests_are_routed_by_weight_or_to_a_target(
    sagemaker: Any, client: Any, endpoint: dict[str, Any], store: Store
) -> None:
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert described_weights(sagemaker) == {"old": 3.0, "new": 1.0}
    assert [each["CurrentInstanceCount"] for each in endpoint["ProductionVariants"]] == [1, 1]
    runtime = client("sagemaker-runtime")
    answers = [ask(runtime) for _ in range(200)]
    assert set(answers) == {("old", "WUFF!"), ("new", "WUFF?")}
    # 200 draws with probability 1/4: outside of these bounds once in a million runs.
    assert 22 <= Counter(answers)["new", "WUFF?"] <= 80
    assert {ask(runtime, TargetVariant="new") for _ in range(5)} == {("new", "WUFF?")}
    with pytest.raises(runtime.exceptions.ValidationError, match="Variant other not found for endpoint shout"):
        ask(runtime, TargetVariant="other")

    before = store.get(ENDPOINT, "shout").state["servers"]
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="shout",
        DesiredWeightsAndCapacities=[
            {"VariantName": "old", "DesiredWeight": 0.0},
            {"VariantName": "new", "DesiredWeight": 1.0, "DesiredInstanceCount": 2},
        ],
    )
    assert {ask(runtime) for _ in range(20)} == {("new", "WUFF?")}
    assert ask(runtime, TargetVariant="old") == ("old", "WUFF!"), "a variant without weight answers as a target"
    assert described_weights(sagemaker) == {"old": 0.0, "new": 1.0}
    described = sagemaker.describe_endpoint(EndpointName="shout")
    assert [each["DesiredInstanceCount"] for each in described["ProductionVariants"]] == [1, 2]
    assert store.get(ENDPOINT, "shout").state["servers"] == before, "other weights restarted a server"

    streams = client("logs").describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/shout")["logStreams"]
    assert sorted(stream["logStreamName"].partition("/")[0] for stream in streams) == ["new", "old"]


def test_an_update_adds_replaces_and_removes_variants(
    sagemaker: Any, client: Any, endpoint: dict[str, Any], add_model: AddModel, store: Store
) -> None:
    runtime = client("sagemaker-runtime")
    add_model("broken", "", code="raise RuntimeError('no such weights')")
    add_config(sagemaker, "with-broken", old=1, broken=1)
    sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="with-broken")
    pending = sagemaker.describe_endpoint(EndpointName="shout")
    if pending["EndpointStatus"] == "Updating":
        assert pending["EndpointConfigName"] == "both"
        assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == "with-broken"
        assert [v["VariantName"] for v in pending["PendingDeploymentSummary"]["ProductionVariants"]] == [
            "old",
            "broken",
        ]
        assert ask(runtime, TargetVariant="new") == ("new", "WUFF?")
    failed = status_reached(sagemaker, "shout", "InService")
    assert failed["EndpointConfigName"] == "both"
    assert "production variant broken did not pass the ping health check" in failed["FailureReason"]
    assert failed["FailureReason"].endswith("RuntimeError: no such weights")
    assert described_weights(sagemaker) == {"old": 3.0, "new": 1.0}
    assert set(store.get(ENDPOINT, "shout").state["servers"]) == {"old", "new"}

    add_model("newest", ".")
    add_config(sagemaker, "renewed", new=1, newest=1)
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="shout", DesiredWeightsAndCapacities=[{"VariantName": "new", "DesiredWeight": 7.0}]
    )
    sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="renewed", RetainAllVariantProperties=True)
    assert status_reached(sagemaker, "shout", "InService")["EndpointConfigName"] == "renewed"
    assert described_weights(sagemaker) == {"new": 7.0, "newest": 1.0}
    assert ask(runtime, TargetVariant="newest") == ("newest", "WUFF.")
    with pytest.raises(runtime.exceptions.ValidationError, match="Variant old not found"):
        ask(runtime, TargetVariant="old")


def test_asynchronous_requests_are_routed_by_weight_too(
    sagemaker: Any, client: Any, add_model: AddModel, tmp_path: Path
) -> None:
    add_model("old", "!")
    add_model("new", "?")
    variants = [variant(name, VariantName=name, InitialVariantWeight=1) for name in ("old", "new")]
    sagemaker.create_endpoint_config(
        EndpointConfigName="both",
        ProductionVariants=variants,
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": (tmp_path / "outputs").as_uri()}},
    )
    sagemaker.create_endpoint(EndpointName="shout", EndpointConfigName="both")
    assert status_reached(sagemaker, "shout", "InService", "Failed")["EndpointStatus"] == "InService"
    source = tmp_path / "input.txt"
    source.write_text("wuff")
    runtime = client("sagemaker-runtime")
    sent = [
        runtime.invoke_endpoint_async(EndpointName="shout", InputLocation=source.as_uri(), ContentType="text/plain")
        for _ in range(30)
    ]
    outputs = [Path(each["OutputLocation"].removeprefix("file://")) for each in sent]
    wait_for(lambda: all(path.exists() for path in outputs))
    # 30 draws with probability 1/2: only one of both once in 500 million runs.
    assert {path.read_text() for path in outputs} == {"WUFF!", "WUFF?"}
    delete_quietly(sagemaker, "shout")


@pytest.mark.parametrize(
    ("variants", "complaint"),
    [
        ([("a", {"InitialVariantWeight": 0.0}), ("b", {"InitialVariantWeight": 0.0})], "InitialVariantWeight above 0"),
        ([("a", {}), ("b", {"InstanceType": None})], "productionVariants.2.member.instanceType"),
        (
            [
                (name, {"InstanceType": None, "InitialInstanceCount": None, "ServerlessConfig": serverless})
                for name in "ab"
                for serverless in [{"MemorySizeInMB": 1024, "MaxConcurrency": 1}]
            ],
            "A serverless endpoint has one production variant",
        ),
    ],
)
def test_variants_that_do_not_go_together_are_refused(
    sagemaker: Any, variants: list[tuple[str, dict[str, Any]]], complaint: str
) -> None:
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i"})
    wanted = [
        {key: value for key, value in variant("m", VariantName=name, **members).items() if value is not None}
        for name, members in variants
    ]
    with pytest.raises(ClientError, match=complaint):
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=wanted)


def test_an_endpoint_keeps_a_variant_with_weight(sagemaker: Any, store: Store) -> None:
    serving = {
        "config": "c",
        "variants": [{"variant": {"VariantName": "only"}, "model": "m", "container": {"Image": "i"}}],
    }
    store.create(ENDPOINT, "shout", {}, {"status": "InService", "serving": serving})  # type: ignore[typeddict-item]
    with pytest.raises(ClientError, match="must have a DesiredWeight above 0"):
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="shout", DesiredWeightsAndCapacities=[{"VariantName": "only", "DesiredWeight": 0.0}]
        )
    assert "InitialVariantWeight" not in store.get(ENDPOINT, "shout").state["serving"]["variants"][0]["variant"]
