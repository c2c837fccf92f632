"""The requests of tuning jobs, as BreedTrainer sends them, and the searches that it refuses before that."""

from __future__ import annotations

from typing import Any

import pytest
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import (
    BreedDataset,
    BreedTrainer,
    CompletionCriteria,
    ConfigurationError,
    Hyperband,
    JobError,
    JobOptions,
    Session,
    TuningJob,
    WarmStart,
)
from dogbreed_sdk._util.progress import no_progress
from tests.aws.account import RecordedSageMaker
from tests.aws.requests.golden import check_golden

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]


def tuned(account: Account, dogs: BreedDataset, *args: Any, trainer: Any = None, **options: Any) -> dict[str, Any]:
    """The request of a tuning job whose trials read pictures."""
    session, aws = account
    made = BreedTrainer(session, features="in-job", **(trainer or {}))
    made.tune(dogs, *args, name="a-tuning-job", progress=no_progress, **options)
    request: dict[str, Any] = aws.sent("CreateHyperParameterTuningJob")[-1]
    return request


def test_the_default_search(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session).tune(dogs, name="a-tuning-job", progress=no_progress)
    [request] = aws.sent("CreateHyperParameterTuningJob")
    check_golden("tuning", "CreateHyperParameterTuningJob", request)


def test_a_search_with_all_scales_criteria_and_parents_on_spot_capacity(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    aws.ended_tuning_jobs = {"dogs-1", "dogs-2"}
    request = tuned(
        account,
        dogs,
        {
            "lr": ContinuousParameter(1e-4, 1e-1, scaling_type="Logarithmic"),
            "dropout": ContinuousParameter(0.1, 0.9, scaling_type="ReverseLogarithmic"),
            "backbone-lr": ContinuousParameter(1e-6, 1e-4),
            "epochs": IntegerParameter(2, 8, scaling_type="Linear"),
            "optimizer": CategoricalParameter(["sgd", "adamw"]),
        },
        trainer={"spot": True, "max_runtime": "1h", "options": JobOptions(retries=2)},
        max_jobs=20,
        max_parallel_jobs=4,
        max_search_time="12h",
        objective="valid accuracy",
        early_stopping=True,
        completion=CompletionCriteria(target=0.95, trials_without_improvement=5, convergence=True),
        warm_start=["dogs-1", TuningJob("dogs-2", session)],
        search_seed=0,
    )
    check_golden("tuning-all-options", "CreateHyperParameterTuningJob", request)


def test_a_hyperband_search(account: Account, dogs: BreedDataset) -> None:
    request = tuned(
        account, dogs, strategy="Hyperband", hyperband=Hyperband(min_epochs=2), hyperparameters={"epochs": 9}
    )
    check_golden("tuning-hyperband", "CreateHyperParameterTuningJob", request)


@pytest.mark.parametrize("strategy", ["Random", "Grid"])
def test_other_strategies(account: Account, dogs: BreedDataset, strategy: str) -> None:
    request = tuned(account, dogs, {"optimizer": CategoricalParameter(["sgd", "adamw"])}, strategy=strategy)
    assert request["HyperParameterTuningJobConfig"]["Strategy"] == strategy


def test_numbers_that_are_zero_are_sent(account: Account, dogs: BreedDataset) -> None:
    request = tuned(account, dogs, search_seed=0, completion=CompletionCriteria(target=0.0))
    config = request["HyperParameterTuningJobConfig"]
    assert (config["RandomSeed"], config["TuningJobCompletionCriteria"]) == (0, {"TargetObjectiveMetricValue": 0.0})


def test_the_epochs_of_hyperband_are_those_that_a_trial_can_have(account: Account, dogs: BreedDataset) -> None:
    for search in ({"epochs": IntegerParameter(3, 12)}, {"epochs": CategoricalParameter([12, 3])}):
        request = tuned(account, dogs, search, strategy="hyperband")
        config = request["HyperParameterTuningJobConfig"]["StrategyConfig"]["HyperbandStrategyConfig"]
        assert config == {"MinResource": 1, "MaxResource": 12}


def test_trials_on_spot_capacity_have_checkpoints_and_others_have_none(account: Account, dogs: BreedDataset) -> None:
    assert "CheckpointConfig" not in tuned(account, dogs)["TrainingJobDefinition"]
    spot = tuned(account, dogs, trainer={"spot": True})["TrainingJobDefinition"]
    assert spot["CheckpointConfig"]["S3Uri"].endswith("/checkpoints/a-tuning-job")


def test_a_transfer_from_one_job(account: Account, dogs: BreedDataset) -> None:
    _, aws = account
    aws.ended_tuning_jobs = {"dogs-1"}
    request = tuned(account, dogs, warm_start=WarmStart("dogs-1", kind="transfer"))
    assert request["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "dogs-1"}],
        "WarmStartType": "TransferLearning",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"strategy": "Hyperband", "early_stopping": True},
            "Hyperband strategy stops trials .* excludes early_stopping",
        ),
        ({"hyperband": Hyperband()}, "hyperband is for strategy='Hyperband', and the strategy is Bayesian"),
        (
            {"strategy": "Hyperband", "hyperband": Hyperband(max_epochs=20)},
            "a trial has at most 10 epochs",
        ),
        ({"max_search_time": "1min"}, "max_search_time is 1 min; it must be 2 min to"),
        ({"max_parallel_jobs": 0}, "max_parallel_jobs must be at least 1"),
    ],
)
def test_a_search_that_aws_would_refuse_is_refused_before_anything_is_sent(
    account: Account, dogs: BreedDataset, options: dict[str, Any], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session).tune(dogs, progress=no_progress, **options)
    assert aws.requests == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WarmStart([]), "1 to 5 different tuning jobs, not none"),
        (lambda: WarmStart(["a", "b", "c", "d", "e", "f"]), "1 to 5 different tuning jobs"),
        (lambda: WarmStart(["a", "a"]), "different tuning jobs, not a, a"),
        (lambda: WarmStart("no spaces"), "cannot name a tuning job"),
        (lambda: WarmStart("a", kind="same"), "use 'identical' or 'transfer'"),  # type: ignore[arg-type]
        (lambda: Hyperband(min_epochs=0), "min_epochs is 0"),
        (lambda: Hyperband(min_epochs=5, max_epochs=4), "min_epochs not above max_epochs"),
        (lambda: Hyperband(max_epochs=20_001), "1 to 20,000"),
        (CompletionCriteria, "no criterion"),
        (lambda: CompletionCriteria(target=float("nan")), "finite"),
        (lambda: CompletionCriteria(trials_without_improvement=2), "SageMaker accepts 3 or more"),
    ],
)
def test_the_parts_of_a_search_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_parents_must_exist_and_have_ended(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    with pytest.raises(JobError, match="tuning job nobody does not exist"):
        BreedTrainer(session).tune(dogs, warm_start="nobody", progress=no_progress)
    tuned(account, dogs)
    with pytest.raises(JobError, match="a-tuning-job is InProgress; wait until it ends"):
        BreedTrainer(session).tune(dogs, warm_start="a-tuning-job", progress=no_progress)
    assert len(aws.sent("CreateHyperParameterTuningJob")) == 1


@pytest.mark.parametrize(
    ("trainer", "options", "message"),
    [
        (
            {},
            {"objective": "valid:accuracy"},
            "is to maximize valid:accuracy, and tuning job a-tuning-job is to minimize",
        ),
        ({"options": JobOptions(retries=1)}, {}, "another retries: a warm start needs the same"),
        ({"environment": {"A": "1"}}, {}, "another environment"),
        ({"options": JobOptions(encrypt_traffic=True)}, {}, "another encrypt_traffic"),
    ],
)
def test_parents_that_sagemaker_would_refuse_are_refused_before_features_are_computed(
    account: Account, dogs: BreedDataset, trainer: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    session, aws = account
    tuned(account, dogs)
    aws.answers["DescribeHyperParameterTuningJob"] = {
        **aws.sent("CreateHyperParameterTuningJob")[0],
        "HyperParameterTuningJobStatus": "Completed",
    }
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session, **trainer).tune(dogs, warm_start="a-tuning-job", progress=no_progress, **options)
    assert aws.sent("CreateTrainingJob") == []
