"""Training: the best epoch is kept, the same seed gives the same weights, and a restart changes nothing."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training_scripts.small_datasets import cloud_batches, clouds, environment, same_weights
from training_scripts import inference
from training_scripts.data.batches import FeatureBatches
from training_scripts.features.feature_pass import FeaturePass
from training_scripts.models import backbones, heads
from training_scripts.models.engines.torch_engine import TorchEngine
from training_scripts.models.network import Network
from training_scripts.training import answers, evaluation, optimizers
from training_scripts.training import trainer as training
from training_scripts.training.answers import joined
from training_scripts.training.callbacks import Callback, Callbacks
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.evaluation import ModelEvaluation, evaluate_model
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.learning_rate import factor
from training_scripts.training.metrics import EpochMetrics, parse
from training_scripts.training.optimizers import light
from training_scripts.training.resume import RunIdentity
from training_scripts.training.stop_signal import StopFlag, Stopped
from training_scripts.training.trainer import Trainer, TrainingError


def trainer(
    folder: Path,
    batches: FeatureBatches | None = None,
    *,
    lines: list[str] | None = None,
    stop: StopFlag | None = None,
    callbacks: Callbacks | None = None,
    **changes: object,
) -> Trainer:
    settings = Hyperparameters(**{"lr": 0.05, "epochs": 6, "batch_size": 16, **changes})  # type: ignore[arg-type]
    torch.manual_seed(settings.seed)
    head = heads.build(heads.HeadSpec(settings.hidden, settings.dropout), width=16, classes=4)
    log = [] if lines is None else lines
    return Trainer(
        Network(head),
        batches or cloud_batches(),
        settings,
        checkpoint=Checkpoint(folder, run=RunIdentity(settings.to_dict()), report=log.append),
        stop=stop or StopFlag(),
        report=log.append,
        callbacks=callbacks,
    )


class StopAfter(list[str]):
    """A log that asks for a stop once a line that begins with `start` has come."""

    def __init__(self, stop: StopFlag, start: str) -> None:
        super().__init__()
        self._stop, self._start = stop, start

    def append(self, line: str) -> None:
        super().append(line)
        if line.startswith(self._start):
            self._stop.request()


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("scheduler", ["cosine", "step", "none"])
def test_every_optimizer_and_scheduler_learns(tmp_path: Path, optimizer: str, scheduler: str) -> None:
    run = trainer(tmp_path, optimizer=optimizer, scheduler=scheduler)
    outcome = run.run()
    assert outcome.history[-1]["train:loss"] < outcome.history[0]["train:loss"]
    assert run.evaluate("test").accuracy > 0.8


def test_an_epoch_prints_its_metrics_and_the_log_is_the_history(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = trainer(tmp_path, lines=lines, epochs=3).run()
    parsed = [report for report in map(parse, lines) if isinstance(report, EpochMetrics)]
    assert len(parsed) == len(lines)
    assert [epoch.epoch for epoch in parsed] == [1, 2, 3]
    for epoch, values in zip(parsed, outcome.history, strict=True):
        assert epoch.values == pytest.approx(values, abs=1e-4)


def test_the_best_epoch_by_valid_loss_is_kept(tmp_path: Path) -> None:
    overfitting = FeatureBatches(clouds(rows=24, spread=3.0))
    run = trainer(tmp_path, overfitting, epochs=40, hidden=(64,))
    outcome = run.run()
    losses = [values["valid:loss"] for values in outcome.history]
    assert outcome.epoch == losses.index(min(losses)) + 1 < len(losses)
    assert run.evaluate("valid").loss == min(losses)
    assert outcome.valid is not None
    assert outcome.valid.loss == min(losses)


def test_dropping_the_last_batch_leaves_only_whole_ones(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Sizes(Callback):
        def step_ends(self, mode: str, loss: torch.Tensor, correct: torch.Tensor, size: int) -> None:
            sizes.append(size) if mode == "TRAIN" else None

    for drop_last in (False, True):
        sizes.clear()
        made = trainer(
            tmp_path / str(drop_last), callbacks=Callbacks([Sizes()]), batch_size=50, drop_last=drop_last, epochs=1
        )
        made.run()
        rows = made._batches.size("train")
        assert rows % 50 and sizes == [50] * (rows // 50) + ([] if drop_last else [rows % 50])
        assert made._run_facts()["steps_per_epoch"] == len(sizes)


def test_patience_ends_a_run_that_no_longer_gets_better(tmp_path: Path) -> None:
    lines: list[str] = []
    overfitting = FeatureBatches(clouds(rows=24, spread=3.0))
    outcome = trainer(tmp_path, overfitting, lines=lines, epochs=40, hidden=(64,), patience=3).run()
    assert len(outcome.history) == outcome.epoch + 3 < 40
    assert lines[-1] == f"no better valid loss for 3 epochs: stopping after epoch {len(outcome.history)}"


def test_without_a_valid_split_the_last_epoch_is_kept(tmp_path: Path) -> None:
    outcome = trainer(tmp_path, FeatureBatches({"train": clouds()["train"]}), epochs=3).run()
    assert (outcome.epoch, outcome.valid) == (3, None)
    assert "valid:loss" not in outcome.metrics


def test_the_reported_loss_is_plain_cross_entropy_with_label_smoothing_too(tmp_path: Path) -> None:
    run = trainer(tmp_path, label_smoothing=0.3, epochs=2)
    outcome = run.run()
    valid = run.evaluate("valid")
    assert outcome.metrics["valid:loss"] == valid.loss
    assert valid.loss == pytest.approx(float(nn.functional.cross_entropy(*joined(valid.logits()))), rel=1e-6)
    plain = trainer(tmp_path / "plain", epochs=2)
    plain.run()
    assert not same_weights(run.network.learned(), plain.network.learned())


def test_every_view_of_the_train_split_is_used_at_random(tmp_path: Path) -> None:
    splits = clouds(views=2)
    batches = FeatureBatches(splits)
    shown = torch.cat([inputs for inputs, _ in batches.train(16, torch.Generator().manual_seed(0))])
    rows = {
        row.tobytes(): (number, view)
        for number, looks in enumerate(splits["train"].features)
        for view, row in enumerate(looks)
    }
    seen = [rows[row.numpy().tobytes()] for row in shown]
    assert sorted(number for number, _ in seen) == list(range(64))
    assert [number for number, _ in seen] != sorted(number for number, _ in seen)
    assert 16 < sum(view for _, view in seen) < 48


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = [trainer(tmp_path / str(number), seed=seed, dropout=0.5) for number, seed in enumerate((0, 0, 1))]
    for run in runs:
        run.run()
    one, again, other = (run.network.learned() for run in runs)
    assert same_weights(one, again)
    assert not same_weights(one, other)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_run_in_two_parts_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path, optimizer: str) -> None:
    settings = {"optimizer": optimizer, "dropout": 0.3, "hidden": (8,), "epochs": 6}
    unbroken = trainer(tmp_path / "unbroken", **settings)
    whole = unbroken.run()
    stop = StopFlag()
    first = trainer(tmp_path / "broken", stop=stop, lines=StopAfter(stop, "epoch 2/"), **settings)
    assert first.run().stopped
    lines: list[str] = []
    second = trainer(tmp_path / "broken", lines=lines, **settings)
    outcome = second.run()
    assert lines[0].startswith("continuing after epoch 2")
    assert same_weights(second.network.learned(), unbroken.network.learned())
    assert (outcome.epoch, outcome.history, outcome.stopped) == (whole.epoch, whole.history, False)


def test_a_finished_run_that_is_started_again_trains_no_more(tmp_path: Path) -> None:
    first = trainer(tmp_path, epochs=2)
    first.run()
    lines: list[str] = []
    second = trainer(tmp_path, lines=lines, epochs=2)
    assert second.run().valid is not None
    assert same_weights(first.network.learned(), second.network.learned())
    assert [line for line in lines if parse(line)] == []


def test_a_stop_before_the_first_epoch_leaves_nothing_to_keep(tmp_path: Path) -> None:
    stop = StopFlag()
    stop.request()
    with pytest.raises(Stopped):
        trainer(tmp_path, stop=stop).run()


def test_a_stop_while_a_restarted_finished_run_is_judged_keeps_its_model(tmp_path: Path) -> None:
    first = trainer(tmp_path, epochs=2)
    whole = first.run()
    stop = StopFlag()
    stop.request()
    second = trainer(tmp_path, epochs=2, stop=stop)
    outcome = second.run()
    assert (outcome.epoch, outcome.stopped, outcome.valid) == (whole.epoch, True, None)
    assert same_weights(first.network.learned(), second.network.learned())


def test_a_run_that_diverges_at_once_says_what_to_change(tmp_path: Path) -> None:
    huge = clouds()
    huge["train"].features[0] = float("inf")
    with pytest.raises(TrainingError, match=r"training diverged: the loss of epoch 1 is nan; lower --lr \(now 0.05\)"):
        trainer(tmp_path, FeatureBatches(huge)).run()


def test_a_long_epoch_shows_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    trainer(tmp_path, lines=lines, epochs=1).run()
    assert [line.split(",")[0] for line in lines[:-1]] == [
        f"  epoch 1/1: {done} of 64 pictures" for done in (16, 32, 48, 64)
    ]


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [("cosine", [1.0, 0.75, 0.25]), ("step", [1.0, 0.1, 0.01]), ("none", [1.0, 1.0, 1.0])],
)
def test_what_a_scheduler_makes_of_the_rate(scheduler: str, rates: list[float]) -> None:
    assert [factor(scheduler, done) for done in (0, 1 / 3, 2 / 3)] == pytest.approx(rates)


class TinyBackbone(nn.Module):
    """Pictures [n, 3, h, w] -> [n, 16], with the batch norm that fine-tuning must not disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 3)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.norm(self.convolution(pictures)).mean((2, 3))


class PictureClouds:
    """Batches of tiny random pictures whose mean color is their class."""

    def size(self, split: str) -> int:
        return 32 if split in {"train", "valid"} else 0

    def train(  # type: ignore[no-untyped-def]
        self, batch_size: int, generator: torch.Generator, *, drop_last: bool = False
    ):
        labels = torch.arange(32) % 3
        pictures = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        pictures += 2 * nn.functional.one_hot(labels, 3)[:, :, None, None]
        for start in range(0, 32, batch_size):
            yield pictures[start : start + batch_size], labels[start : start + batch_size]

    def plain(self, split: str, batch_size: int):  # type: ignore[no-untyped-def]
        return self.train(batch_size, torch.Generator())


def picture_trainer(folder: Path, backbone: nn.Module, tuned: list[nn.Parameter]) -> Trainer:
    torch.manual_seed(0)
    network = Network(heads.build(heads.HeadSpec(), width=16, classes=3), backbone, tuned=tuned)
    settings = Hyperparameters(epochs=3, lr=0.05, backbone_lr=0.01, batch_size=8)
    checkpoint = Checkpoint(folder, run=RunIdentity())
    return Trainer(network, PictureClouds(), settings, checkpoint=checkpoint, stop=StopFlag(), report=lambda _: None)


def test_a_frozen_backbone_is_not_touched(tmp_path: Path) -> None:
    backbone = TinyBackbone().requires_grad_(False)
    before = copy.deepcopy(backbone.state_dict())
    run = picture_trainer(tmp_path, backbone, [])
    assert run.run().metrics["valid:accuracy"] > 0.9
    assert same_weights(before, backbone.state_dict())
    assert all(name.startswith("head.") for name in run.network.learned())


def test_unfrozen_parameters_learn_and_batch_norms_keep_their_statistics(tmp_path: Path) -> None:
    backbone = TinyBackbone().requires_grad_(False)
    before = copy.deepcopy(backbone.state_dict())
    tuned = list(backbone.norm.requires_grad_(True).parameters())
    picture_trainer(tmp_path, backbone, tuned).run()
    after = backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"norm.weight", "norm.bias"}


@pytest.mark.parametrize("what", ["training", "feature pass", "endpoint"])
def test_whatever_computes_asks_for_exact_arithmetic(tmp_path: Path, written_bundle: Path, what: str) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    if what == "training":
        trainer(tmp_path)
    elif what == "endpoint":
        inference.model_fn(str(written_bundle))
    else:
        preprocessing = backbones.spec("resnet18").preprocessing
        with FeaturePass(
            TorchEngine(TinyBackbone()), preprocessing, width=16, batch_size=1, workers=1, check=lambda: None
        ):
            pass
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_judging_uses_full_precision_where_training_does_not(tmp_path: Path) -> None:
    """On a GPU; bfloat16 stands in for it here, on the CPU."""
    run = picture_trainer(tmp_path, TinyBackbone().requires_grad_(False), [])
    before = run.evaluate("valid").answers.losses
    run._precision = torch.bfloat16
    assert torch.equal(run.evaluate("valid").answers.losses, before)


def test_the_light_optimizers_step_exactly_as_torchs_own() -> None:
    for kind, settings in ((torch.optim.AdamW, {}), (torch.optim.Adam, {}), (torch.optim.SGD, {"momentum": 0.9})):
        weights = []
        for made in (kind, light(kind)):
            torch.manual_seed(0)
            layer = nn.Linear(4, 2)
            optimizer = made(layer.parameters(), lr=0.1, weight_decay=0.1, **settings)
            for _ in range(3):
                optimizer.zero_grad()
                layer(torch.ones(3, 4)).square().sum().backward()
                optimizer.step()
                optimizer.load_state_dict(optimizer.state_dict())
            weights.append(layer.state_dict())
        assert same_weights(*weights)


def test_training_on_features_loads_neither_torchvision_nor_the_compiler(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from tests.training_scripts.training.test_trainer import trainer; trainer(Path(sys.argv[1]), epochs=1).run();"
        "import training_scripts.data.inputs;"
        "print(sorted({'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path),
    )
    assert answer.stdout.strip() == "[]"


def test_the_logits_of_many_classes_are_computed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sizes(Callback):
        def forward_done(self, mode: str, logits: torch.Tensor) -> None:
            if mode == "EVAL":
                sizes.append(logits.numel())

    def outcome(folder: Path) -> tuple[list[float], ModelEvaluation]:
        run = trainer(folder, epochs=3, callbacks=Callbacks([Sizes()]))
        result = run.run()
        evaluated = evaluate_model(run, result, epochs=3, report=lambda _: None)
        return [values["valid:loss"] for values in result.history], evaluated

    sizes: list[int] = []
    losses, whole = outcome(tmp_path / "whole")
    assert set(sizes) == {64 * 4}
    monkeypatch.setattr(answers, "_BLOCK", 5 * 4)
    monkeypatch.setattr(evaluation, "_KEPT_BYTES", 100)
    sizes.clear()
    in_blocks, evaluated = outcome(tmp_path / "blocks")
    assert max(sizes) == 5 * 4
    assert in_blocks == pytest.approx(losses, rel=1e-6)
    assert evaluated.metrics == pytest.approx(whole.metrics, rel=1e-5)
    assert evaluated.temperature == pytest.approx(whole.temperature, rel=1e-5)
    assert evaluated.rejection == whole.rejection


def test_a_large_head_takes_fused_steps_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trainer(tmp_path / "plain", epochs=2)
    plain.run()
    assert plain._optimizer.defaults["fused"] is None
    monkeypatch.setattr(optimizers, "_FUSED_FROM", 4 * 17)
    fused = trainer(tmp_path / "fused", epochs=2)
    fused.run()
    assert fused._optimizer.defaults["fused"] is True
    for name, weights in plain.network.learned().items():
        assert torch.allclose(weights, fused.network.learned()[name], atol=1e-5)
