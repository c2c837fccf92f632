"""Searches with everything that a search can be asked for, run by local SageMaker."""

from __future__ import annotations

from dogbreed_sdk import BreedTrainer, CompletionCriteria, Hyperband, TrainingJob, WarmStart, defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.jobs.resume import Continuation
from tests.conftest import Workshop


def test_a_search_learns_from_another_and_ends_when_the_target_is_reached(workshop: Workshop) -> None:
    trainer = BreedTrainer(workshop.session, model=defaults.QUICK_BACKBONE, spot=True)
    tuning = trainer.tune(
        workshop.dataset,
        hyperparameters={"epochs": 6},
        max_jobs=5,
        max_parallel_jobs=1,
        max_search_time="1h",
        strategy="Random",
        completion=CompletionCriteria(target=100.0),
        warm_start=workshop.tuning,
        search_seed=0,
        progress=no_progress,
    ).wait(progress=no_progress)
    assert tuning.status == "Completed"
    [trial] = tuning.trials()
    described = tuning.describe()
    assert described["HyperParameterTuningJobConfig"]["RandomSeed"] == 0
    best = min(tuning.best, workshop.tuning.best, key=lambda found: found.objective)
    assert tuning.best_overall.job.name == best.job.name
    checkpoints = uri_to_path(TrainingJob(trial.name, workshop.session).checkpoint_uri)
    assert (checkpoints.name, (checkpoints / "checkpoint.pth").is_file()) == (trial.name, True)
    assert Continuation.of(TrainingJob(trial.name, workshop.session)).epoch == 6


def test_hyperband_with_what_another_search_found(workshop: Workshop) -> None:
    tuning = workshop.trainer.tune(
        workshop.dataset,
        hyperparameters={"epochs": 2},
        max_jobs=2,
        strategy="hyperband",
        hyperband=Hyperband(min_epochs=1),
        warm_start=WarmStart([workshop.tuning], kind="transfer"),
        progress=no_progress,
    ).wait(progress=no_progress)
    assert {trial.status for trial in tuning.trials()} <= {"Completed", "Stopped"}
    assert tuning.best.objective > 0
    config = tuning.describe()["HyperParameterTuningJobConfig"]["StrategyConfig"]["HyperbandStrategyConfig"]
    assert config == {"MinResource": 1, "MaxResource": 2}
