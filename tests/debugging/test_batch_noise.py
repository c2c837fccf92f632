"""How much of a training loss's fluctuation random batches explain."""

from __future__ import annotations

import numpy as np
import pytest

from dogbreed_sdk import DebugReport, RecordingError
from dogbreed_sdk.debugging.insights import insights
from tests.debugging.insights_made_up import made_up_run
from training_scripts.recording.trial.layout import LOSS_STD, STEP_SIZE
from training_scripts.recording.trial.trial import TRAIN, MemoryTrial
from training_scripts.rules.evidence.batch_noise import BatchNoise, batch_noise
from training_scripts.rules.evidence.run import Run

LOSS = "CrossEntropyLoss_output_0"


def drawn(*, batch: int = 64, pictures: int = 6400, epochs: int = 4, shake: float = 0.0) -> MemoryTrial:
    """A run whose pictures have fixed losses, drawn in random batches without replacement, as a loader does.

    Args:
        batch: Pictures per step.
        pictures: Training pictures.
        epochs: Passes.
        shake: Standard deviation of a scatter that steps add.
    """
    generator = np.random.default_rng(3)
    losses = generator.exponential(1.0, pictures)
    per_epoch = pictures // batch
    trial = MemoryTrial(name="drawn", ended=True)
    trial.run |= {"batch_size": batch, "sizes": {"train": pictures}, "steps_per_epoch": per_epoch, "epochs": epochs}
    trial.run |= {"task": "classification", "classes": ["a", "b"]}
    for epoch in range(epochs):
        order = generator.permutation(losses)
        for number in range(per_epoch):
            step = epoch * per_epoch + number
            chosen = order[number * batch : (number + 1) * batch]
            trial.add_step(step, TRAIN, global_step=step, time=float(step))
            value = float(chosen.mean()) + shake * float(generator.standard_normal())
            trial.add_reduction(LOSS, "mean", step, TRAIN, value, collection="losses")
            trial.add_reduction(STEP_SIZE, "mean", step, TRAIN, float(batch), collection="scalars")
            trial.add_reduction(LOSS_STD, "mean", step, TRAIN, float(chosen.std()), collection="scalars")
    return trial


def measured(trial: MemoryTrial) -> BatchNoise:
    run = Run.of(trial)
    assert run is not None
    found = batch_noise(run)
    assert found is not None
    return found


@pytest.mark.parametrize("batch", [16, 64, 640])
def test_the_scatter_of_random_batches_is_predicted_from_single_losses(batch: int) -> None:
    """A tenth of all pictures in a batch scatters less than an endless supply would let it."""
    found = measured(drawn(batch=batch, epochs=4 if batch < 100 else 12))
    assert found.caused == pytest.approx(found.observed, rel=0.2)
    assert found.share > 0.7 and not found.is_estimated


def test_what_steps_add_is_not_blamed_on_the_batches() -> None:
    found = measured(drawn(shake=0.25))
    assert found.caused == pytest.approx(1 / 8, rel=0.1)
    assert found.share == pytest.approx(0.2, abs=0.07)
    told = {one.topic: one for one in insights(drawn(shake=0.25), None, [])}["batch-noise"]
    assert told.title.startswith("Random batches of 64 pictures explain 2") and "The rest" in told.explanation


def test_the_insight_names_both_numbers_and_asks_for_nothing() -> None:
    told = {one.topic: one for one in insights(drawn(), None, [])}["batch-noise"]
    assert told.title == "The training loss fluctuates because random batches of 64 pictures differ."
    assert (told.severity, told.confidence, dict(told.hyperparameters)) == ("info", "high", {})
    assert "± 0.12" in told.evidence[1] and "the pictures of each batch" in told.evidence[1]


def test_without_losses_of_training_pictures_those_of_validation_pictures_give_an_estimate() -> None:
    trial = made_up_run(step_noise=0.12, train_size=6400)
    found = measured(trial)
    assert found.is_estimated
    level = float(found.level[-30:].mean())
    assert found.expected[-1] == pytest.approx(level / 8, rel=0.1), "exponential losses are as wide as their mean"


def test_a_larger_part_of_the_pictures_scatters_less() -> None:
    few, all_but_whole = measured(drawn(batch=64)), measured(drawn(batch=3200, epochs=30))
    assert all_but_whole.caused == pytest.approx(few.caused * (64 / 3200) ** 0.5 * 0.5**0.5, rel=0.1)


def test_short_runs_and_other_losses_say_nothing() -> None:
    run = Run.of(drawn(pictures=640, epochs=3))
    assert run is not None and batch_noise(run) is None
    with pytest.raises(RecordingError, match="does not show where the fluctuations of its loss come from"):
        DebugReport("short", trial=drawn(pictures=640, epochs=3)).plot_fluctuations()


def test_the_plot_shows_the_band_and_counts_what_is_outside() -> None:
    pytest.importorskip("matplotlib")
    axes = DebugReport("drawn", trial=drawn()).plot_fluctuations()
    [band] = axes.collections
    noise = measured(drawn())
    inside = np.abs(noise.losses - noise.level) <= 1.96 * noise.expected
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(float((noise.level + 1.959964 * noise.expected).max()))
    assert 0.9 < inside.mean() < 0.99
    legend = axes.get_legend()
    assert legend is not None
    assert f"outside: {(~inside).sum()} of 320 steps" in [text.get_text() for text in legend.get_texts()]
