"""Plans: the sum by hand, what is compared, and what the text says."""

from __future__ import annotations

import socket
import tracemalloc
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import Autoscaling, BreedDataset, BreedTrainer, DatasetSize, Plan, PriceTable, Serverless, Session
from dogbreed_sdk.aws import pricing_api
from dogbreed_sdk.aws.prices import Price
from dogbreed_sdk.errors import AccessError, ConfigurationError, DatasetError
from dogbreed_sdk.local.api.validation import operation_model, problems
from dogbreed_sdk.planning.dataset_size import UnseenDataset
from dogbreed_sdk.planning.speed import BackboneSpeed

pytestmark = pytest.mark.extras

BREEDS_133 = DatasetSize.of(pictures=8351, classes=133)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan needs neither credentials nor a network, and must not try."""

    def refuse(*_: object) -> None:
        raise AssertionError("a plan opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def trainer(**options: object) -> BreedTrainer:
    """Of the backbone that the sums by hand are about."""
    return BreedTrainer(Session.aws(), **{"model": "efficientnet_lite0", **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return trainer().plan(BREEDS_133, region="us-east-1")


def usd(plan: Plan) -> dict[str, float]:
    return {step.name: step.usd for step in plan.steps}


def test_the_sum_of_the_default_search_on_133_breeds_by_hand(plan: Plan) -> None:
    # 6,680 train pictures in two views, 835 valid and 836 test pictures in one: 15,031 views.
    # A core takes 3.7 ms to decode a picture and 14.8 ms for a view; ml.m5.xlarge has two cores, for 0.23 USD/hour.
    features = 90 + 22.5477 + 25 + (30.8987 + 222.4588) / 2  # start, 1.127 GB at 50 MB/s, script, pass
    head = 90 + 1.5392 + 25 + 4.9254  # start, 77 MB of features, script, ten epochs
    expected = {
        "features": features * 0.23 / 3600,
        "tuning": 6 * head * 0.23 / 3600,
        "training": head * 0.23 / 3600,
        "endpoint": 730 * 0.115,
        # 1.379 GB in S3, 20 GB of the endpoint's disk, and the jobs' disks of 30 GB for 1,114 seconds
        "storage": 1.37934 * 0.023 + 20 * 0.14 + 30 * 1114.48 / 3600 / 730 * 0.14,
    }
    assert usd(plan) == pytest.approx(expected, abs=1e-5)
    assert plan.usd == pytest.approx(86.8547, abs=1e-4)
    # Without sharing, each of the seven jobs downloads the pictures and makes the pass itself.
    alone = 90 + 22.5477 + 25 + 126.6788 + 4.9254
    disks = 20 * 0.14 + 30 * 7 * alone / 3600 / 730 * 0.14
    without = 7 * alone * 0.23 / 3600 + 83.95 + 1.302385 * 0.023 + disks
    assert plan.usd_without_shared_features == pytest.approx(without, abs=1e-5)
    assert plan.usd_without_shared_features == pytest.approx(86.9033, abs=1e-4)
    # All jobs at a tenth of the price: 0.0712 USD less 90%.
    assert plan.usd_with_spot_at_best == pytest.approx(86.8547 - 0.9 * 0.0712, abs=1e-4)


def test_steps_are_instances_times_hours_times_price(plan: Plan) -> None:
    assert [(step.name, step.instances) for step in plan.steps] == [
        ("features", 1),
        ("tuning", 6),
        ("training", 1),
        ("endpoint", 1),
        ("storage", 0),
    ]
    for step in plan.steps[:-1]:
        assert step.usd_per_hour is not None
        assert step.usd == pytest.approx(step.instances * step.hours * step.usd_per_hour)


def test_the_json_has_the_promised_keys(plan: Plan) -> None:
    document = plan.to_dict()
    assert {"requests", "steps", "usd", "usd_without_shared_features", "prices_as_of", "region"} <= set(document)
    steps = document["steps"]
    assert isinstance(steps, list)
    assert all({"name", "instances", "hours", "usd"} <= set(step) for step in steps)
    assert document["usd"] == pytest.approx(sum(step["usd"] for step in steps), abs=1e-3)
    assert document["prices_as_of"] == "2026-07-01"
    assert document["region"] == "us-east-1"


def test_the_requests_are_what_aws_accepts(plan: Plan) -> None:
    assert [request.operation for request in plan.requests] == [
        "CreateTrainingJob",
        "CreateHyperParameterTuningJob",
        "CreateTrainingJob",
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
    ]
    for request in plan.requests:
        shape = operation_model(request.service, request.operation).input_shape
        assert shape is not None
        assert list(problems(shape, request.parameters)) == [], request.operation


def test_the_text_is_a_table_with_what_matters(plan: Plan) -> None:
    text = str(plan)
    assert "8,351 pictures (6,680 train, 835 valid, 836 test), 133 classes" in text
    assert "in us-east-1. Nothing has been created" in text
    assert "endpoint          1      730.00     0.115  83.95" in text
    assert "total                                      86.85" in text
    assert "Without shared features 86.90 USD" in text
    assert "With managed spot training from 86.79 USD" in text
    assert "The endpoint is 97% of the total" in text
    assert f"as of 2026-07-01 to {plan.newest_price} (" in text
    assert "free tier" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()[:11]) <= 120


def test_a_region_has_its_own_prices_and_the_oldest_of_them_dates_the_plan() -> None:
    plan = trainer().plan(BREEDS_133, region="eu-central-1")
    steps = usd(plan)
    assert steps["endpoint"] == pytest.approx(730 * 0.138)
    assert plan.prices_as_of == date(2025, 3, 2)
    assert all("arn:aws:iam::111122223333:role/" in str(request.parameters) for request in plan.requests[:3])
    assert "eu-central-1" in str(plan.requests[0].parameters["AlgorithmSpecification"])


def test_a_placeholder_role_is_in_the_account_of_the_bucket() -> None:
    session = Session.aws(region="us-east-1", bucket="sagemaker-us-east-1-000000000000")
    plan = BreedTrainer(session).plan(BREEDS_133)
    assert plan.requests[0].parameters["RoleArn"] == "arn:aws:iam::000000000000:role/YourSageMakerRole"


def test_the_region_of_the_configuration_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "No AWS region is configured" in str(trainer().plan(BREEDS_133))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for session in (Session.aws(), Session.local(tmp_path / "none")):
        plan = BreedTrainer(session).plan(BREEDS_133)
        assert plan.region == "eu-west-1"
        assert "No AWS region" not in str(plan)
    assert not (tmp_path / "none").exists()


def test_the_sessions_role_and_bucket_are_in_the_requests() -> None:
    session = Session.aws(role="arn:aws:iam::123456789012:role/dogs", bucket="my-dogs", prefix="here")
    plan = BreedTrainer(session).plan(BREEDS_133, region="us-east-1")
    training = plan.requests[2].parameters
    assert training["RoleArn"] == "arn:aws:iam::123456789012:role/dogs"
    assert training["OutputDataConfig"]["S3OutputPath"] == "s3://my-dogs/here/jobs"


def test_own_prices_are_used_and_named(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("region,item,uses,usd,as_of\nus-east-1,ml.m5.large,hosting,1,2026-11-30\n", encoding="utf-8")
    for prices in (path, PriceTable.load(path)):
        cheaper = trainer().plan(BREEDS_133, region="us-east-1", prices=prices)
        assert usd(cheaper)["endpoint"] == 730
        assert "own table" in str(cheaper)
        assert usd(cheaper)["tuning"] == usd(plan)["tuning"]


def test_an_unknown_price_names_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"ml\.m5d\.large for hosting in us-east-1 is not in the price table"):
        trainer().plan(BREEDS_133, region="us-east-1", endpoint={"instance_type": "ml.m5d.large"})


def test_live_prices_are_used_and_the_packaged_ones_where_asking_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(client: Any, *, region: str, instance_types: set[str]) -> list[Price]:
        asked.append((region, sorted(instance_types)))
        if len(asked) > 1:
            raise AccessError("You may not call pricing:GetProducts.")
        return [
            Price(
                region=region,
                item="ml.m5.large",
                use="hosting",
                usd=0.1,
                as_of=date(2026, 11, 30),
                source="pricing-api",
            )
        ]

    monkeypatch.setattr(pricing_api, "fetch", fetch)
    live = trainer().plan(BREEDS_133, region="us-east-1", live_prices=True)
    assert asked == [("us-east-1", ["ml.m5.large", "ml.m5.xlarge"])]
    assert usd(live)["endpoint"] == pytest.approx(73)
    assert "AWS's Pricing API, now" in str(live)
    packaged = trainer().plan(BREEDS_133, region="us-east-1", live_prices=True)
    assert usd(packaged)["endpoint"] == pytest.approx(83.95)
    assert "the packaged ones are used. You may not call pricing:GetProducts." in " ".join(packaged.notes)


def test_spot_and_kept_instances_are_explained(plan: Plan) -> None:
    spot = trainer(spot=True).plan(BREEDS_133, region="us-east-1")
    assert usd(spot) == pytest.approx(usd(plan))
    assert "run on spot capacity" in str(spot)
    kept = trainer(keep_alive="30min").plan(BREEDS_133, region="us-east-1")
    assert usd(kept) == pytest.approx(usd(plan))
    features, before = kept.steps[0], plan.steps[0]
    assert features.usd_most - before.usd_most == pytest.approx(0.5 * 0.23)
    assert "kept for up to 30 minutes" in " ".join(kept.notes)


def test_several_instances_share_a_pass(plan: Plan) -> None:
    several = trainer(instance_count=2).plan(BREEDS_133, region="us-east-1")
    features = several.steps[0]
    assert features.instances == 2
    # 126.7 seconds of one instance: each of two has a little more than half of it.
    assert features.hours * 3600 == pytest.approx(90 + 22.5477 + 25 + 126.6788 / 1.9, abs=0.01)
    assert several.steps[2].instances == 1


def test_a_gpu_computes_while_two_threads_decode() -> None:
    # 8,351 pictures at 3.7 ms in two threads take longer than 15,031 views on a T4 (8.1 TFLOPS at a tenth).
    plan = trainer(instance_type="ml.g4dn.xlarge").plan(BREEDS_133, region="us-east-1")
    assert usd(plan)["features"] == pytest.approx((150 + 22.5477 + 25 + 30.8987 / 2) * 0.7364 / 3600, abs=1e-5)


def test_jobs_that_share_nothing_cost_the_same_with_and_without() -> None:
    plan = trainer(features="in-job").plan(BREEDS_133, region="us-east-1")
    assert [step.name for step in plan.steps] == ["tuning", "training", "endpoint", "storage"]
    assert plan.usd == pytest.approx(plan.usd_without_shared_features)
    assert "Without shared features" not in str(plan), "a comparison with the same says nothing"
    assert f"With the backbone in every epoch {plan.usd_without_features:,.2f} USD." in " ".join(str(plan).split())


def test_no_comparison_of_ways_to_compute_features_that_cost_the_same(plan: Plan) -> None:
    same = replace(plan, usd_without_shared_features=plan.usd, usd_without_features=plan.usd)
    assert "Without shared" not in str(same) and "in every epoch" not in str(same)


def test_the_column_of_prices_adds_up_to_the_total(plan: Plan) -> None:
    """Each price rounded for itself, these add up to 86.82."""
    prices = (0.0083, 0.0384, 0.0064, 83.95, 2.8073)
    made = replace(plan, steps=tuple(replace(each, usd=price) for each, price in zip(plan.steps, prices, strict=True)))
    lines = str(made).splitlines()
    rows = [line for line in lines if line.startswith(("features", "tuning", "training", "endpoint", "storage"))]
    assert sum(price in line for line, price in zip(rows, ("0.01", "0.04", "<0.01", "83.95", "2.81"), strict=True)) == 5
    assert next(line for line in lines if line.startswith("total")).split() == ["total", "86.81"]


def test_more_trials_longer_endpoints_and_serverless_ones(plan: Plan) -> None:
    other = trainer().plan(
        BREEDS_133, region="us-east-1", max_jobs=12, max_parallel_jobs=4, endpoint_hours=2, early_stopping=True
    )
    assert usd(other)["tuning"] == pytest.approx(2 * usd(plan)["tuning"])
    assert usd(other)["endpoint"] == pytest.approx(0.23)
    assert "up to 12 trials, 4 at a time" in str(other)
    expiring = trainer().plan(BREEDS_133, region="us-east-1", endpoint={"ttl": "2h"})
    assert usd(expiring)["endpoint"] == pytest.approx(0.23)
    assert "of the total" not in str(expiring)
    serverless = trainer().plan(BREEDS_133, region="us-east-1", endpoint={"serverless": Serverless(2048)})
    assert usd(serverless)["endpoint"] == 0
    assert "serverless, 2048 MB: nothing while idle" in str(serverless)


def test_autoscaling_is_set_up_in_the_rehearsal_and_widens_the_range(plan: Plan) -> None:
    scaled = trainer().plan(
        BREEDS_133,
        region="us-east-1",
        endpoint={"endpoint_name": "dogs", "autoscaling": Autoscaling(1, 3, invocations_per_instance=600)},
    )
    assert [request.operation for request in scaled.requests[-2:]] == ["RegisterScalableTarget", "PutScalingPolicy"]
    assert usd(scaled) == pytest.approx(usd(plan))
    endpoint = scaled.steps[3]
    assert endpoint.usd_most == pytest.approx(3 * endpoint.usd)
    assert "1 to 3 instances" in endpoint.what


def test_a_grid_has_a_trial_per_combination() -> None:
    search = {"batch-size": CategoricalParameter([32, 64]), "dropout": CategoricalParameter([0.0, 0.2, 0.4])}
    plan = trainer().plan(BREEDS_133, search, region="us-east-1", strategy="Grid")
    assert plan.steps[1].instances == 6


def test_a_data_set_is_counted_and_its_fingerprint_is_in_the_requests(photos: BreedDataset) -> None:
    plan = trainer().plan(photos, region="us-east-1")
    assert plan.dataset.splits == photos.splits
    files = [picture.path.stat().st_size for split in photos.splits for picture in photos.pictures(split)]
    assert plan.dataset.bytes == pytest.approx(sum(files))
    assert photos.fingerprint[:16] in str(plan.requests[0].parameters["InputDataConfig"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    return BreedDataset.sample(tmp_path_factory.mktemp("dogs") / "sample", breeds=2, per_breed=12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pictures": 5, "classes": 133}, "at least one picture to train on"),
        ({"pictures": 100, "classes": 1}, "at least 2 classes"),
    ],
)
def test_impossible_sizes_are_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DatasetSize.of(**given)


def test_wrong_arguments_are_refused_as_by_the_real_methods(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="endpoint_hours is -1"):
        trainer().plan(BREEDS_133, endpoint_hours=-1)
    with pytest.raises(ConfigurationError, match="max_jobs is 0"):
        trainer().plan(BREEDS_133, max_jobs=0)
    with pytest.raises(DatasetError, match="does not exist"):
        trainer().plan(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="only be measured with pictures"):
        trainer().plan(BREEDS_133, measure=True)
    with pytest.raises(ConfigurationError, match="How fast resnet34 is, is not in the table"):
        BackboneSpeed.from_table("resnet34")


def test_a_plan_is_short_in_a_console(plan: Plan) -> None:
    assert repr(plan).startswith(f"Plan(usd={plan.usd:.2f}, region='us-east-1', steps=['features', 'tuning',")
    assert len(repr(plan)) < 120


def test_a_hundred_million_pictures_take_no_memory() -> None:
    tracemalloc.start()
    try:
        dataset = UnseenDataset(DatasetSize.of(pictures=100_000_000, classes=20_000))
        assert (len(dataset), dataset.splits["train"], len(dataset.classes)) == (100_000_000, 80_000_000, 20_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_requests_of_a_search_for_the_least_test_loss_on_gpus() -> None:
    ranges = {"lr": ContinuousParameter(0.001, 0.1, scaling_type="Logarithmic"), "epochs": IntegerParameter(7, 10)}
    plan = trainer(model="resnet50", instance_type="ml.g5.xlarge").plan(
        BREEDS_133,
        ranges,
        objective="test:loss",
        max_jobs=4,
        max_parallel_jobs=4,
        endpoint={"instance_type": "ml.t2.medium"},
        region="us-east-1",
    )
    sent = {request.operation: request.parameters for request in plan.requests}
    config = sent["CreateHyperParameterTuningJob"]["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Minimize", "MetricName": "test:loss"}
    assert config["ResourceLimits"] == {"MaxParallelTrainingJobs": 4, "MaxNumberOfTrainingJobs": 4}
    training = sent["CreateTrainingJob"]
    assert training["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"
    assert "pytorch-training:2.6-gpu" in training["AlgorithmSpecification"]["TrainingImage"]
    assert sent["CreateEndpointConfig"]["ProductionVariants"][0]["InstanceType"] == "ml.t2.medium"
    assert "pytorch-inference:2.6" in str(sent["CreateModel"]) and "-cpu-" in str(sent["CreateModel"])
