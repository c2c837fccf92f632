"""Spikes of the validation loss, and which of the usual causes apply to this run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import change, joined, number, percent
from dogbreed_sdk.debugging.insights.fluctuation import noise_of_steps
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.pictures import few_of, names_of, unusual_share
from dogbreed_sdk.debugging.insights.rates import better_rate
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95
from training_scripts.recording.trial.trial import EVAL
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.epochs import loss_series
from training_scripts.rules.evidence.run import Run

# A jump of 5% of the loss is visible in a plot. One of less than 3% of the chance-level loss changes hardly any
# prediction: in healthy runs, losses near zero jump to several times their value.
VISIBLE, MATERIAL = 0.05, 0.03
SMALL_BATCH = 16
WIDE_LOSS = 0.1


@dataclass(frozen=True)
class Cause:
    """A usual cause of spikes, and whether it applies."""

    holds: bool
    words: str
    weight: int = 0
    new: dict[str, object] = field(default_factory=dict)
    step: str = ""


def find(run: Run) -> list[Insight]:
    """Reports spikes with their causes, and apparent spikes of evaluations that are plotted step by step."""
    spiky = _spikes(run)
    return [*([_spiky(run, spiky)] if spiky else []), *_last_batch_of_evaluation(run)]


def _spikes(run: Run) -> list[int]:
    """Epochs (from 0) whose loss is visibly and significantly above that of both neighbors."""
    losses = run.valid.loss
    scale = run.scale
    found = []
    for epoch in run.validated[1:-1].tolist():
        if epoch - 1 not in run.validated or epoch + 1 not in run.validated:
            continue
        around = (losses[epoch - 1] + losses[epoch + 1]) / 2
        rise = losses[epoch] - max(losses[epoch - 1], losses[epoch + 1])
        visible = around > 0 and losses[epoch] - around > VISIBLE * around and rise > MATERIAL * scale
        if visible and _beyond_error(run, epoch):
            found.append(epoch)
    return found


def _beyond_error(run: Run, epoch: int) -> bool:
    """Whether the losses of the same pictures in the neighboring epochs show that the spike is not chance."""
    scores = [run.excess(epoch, other).score for other in (epoch - 1, epoch + 1)]
    return min(scores) > Z95 or run.picture_losses(epoch) is None


def _spiky(run: Run, spiky: Sequence[int]) -> Insight:
    causes = [
        _late_rate(run, spiky),
        _small_batches(run),
        _last_training_batch(run),
        _pictures(run, spiky),
        _small_split(run, spiky),
    ]
    tested = [cause for cause in causes if cause is not None]
    holding = sorted((cause for cause in tested if cause.holds), key=lambda cause: -cause.weight)
    first = holding[0] if holding else None
    height = max(float(run.valid.loss[e] / ((run.valid.loss[e - 1] + run.valid.loss[e + 1]) / 2) - 1) for e in spiky)
    return Insight(
        topic="validation-spikes",
        title=f"The validation loss is spiky: {counted(len(spiky), 'spike')} of up to {percent(height)} above "
        f"the neighboring epochs{_reason(holding)}.",
        explanation="The same pictures are evaluated after every epoch, so at a spike the weights were worse. "
        "Each usual cause was tested on this run.",
        evidence=tuple(("holds: " if cause.holds else "does not hold: ") + cause.words for cause in tested),
        confidence="medium" if first else "low",
        next_step=first.step
        if first
        else "None of the usual causes applies: look at the rules' findings at these steps.",
        severity="info" if run.does_well else "hint",
        hyperparameters=first.new if first else {},
        steps=tuple(run.last_step(epoch) for epoch in spiky),
    )


def _reason(holding: Sequence[Cause]) -> str:
    names = [cause.words.partition(":")[0] for cause in holding]
    return f"; likely {'cause' if len(names) == 1 else 'causes'}: {joined(names)}" if names else ""


def _late_rate(run: Run, spiky: Sequence[int]) -> Cause | None:
    """Whether spikes in the last third of the run come from steps that were still large."""
    late = [epoch for epoch in spiky if epoch >= 2 * run.epochs / 3]
    scheduler = run.settings.get("scheduler")
    words = f"learning rate too large late in training: {len(late)} of {counted(len(spiky), 'spike')} in the last third"
    if scheduler:
        words += f", scheduler {scheduler}"
    new: dict[str, object] = (
        {"scheduler": "cosine"} if scheduler not in (None, "cosine") else better_rate(run, larger=False)
    )
    new = {} if run.does_well else new
    step = (
        f"Set {change(run.settings, new)}, so that the last steps are small."
        if new
        else "Keep the best epoch."
        if run.does_well
        else "Lower the learning rate toward the end."
    )
    return Cause(bool(late) and scheduler != "cosine", words + ".", 4, new, step)


def _small_batches(run: Run) -> Cause | None:
    batch = run.batch_size
    if batch is None:
        return None
    noise = noise_of_steps(run)
    words = f"small batches: {counted(batch, 'picture')} per step"
    if noise is not None:
        words += f", whose mean loss varies by ± {number(noise.sampling)} by sampling alone"
    new: dict[str, object] = {"batch-size": 4 * batch}
    return Cause(batch < SMALL_BATCH, words + ".", 3, new, f"Set {change(run.settings, new)}.")


def _last_training_batch(run: Run) -> Cause | None:
    """Whether the last batch before each evaluation is so small that its loss is noisier than that of other batches."""
    size, batch = run.size("train"), run.batch_size
    if not size or not batch or size <= batch:
        return None
    if run.settings.get("drop-last") is True:
        return Cause(False, "a smaller last batch: drop-last leaves it out.")
    rest = size % batch
    if not rest:
        return Cause(False, f"a smaller last batch: {size:,} training pictures divide evenly into batches of {batch}.")
    ends = np.concatenate([steps[-1:] for steps in run.train_steps])
    before = np.concatenate([steps[-6:-1] for steps in run.train_steps])
    last, others = (run.losses.values[np.isin(run.losses.steps, steps)] for steps in (ends, before))
    noisier = _spread_of_steps(last) / max(_spread_of_steps(others), 1e-12)
    words = f"a smaller last batch: {size:,} training pictures leave only {rest} for the last step of each epoch"
    if math.isfinite(noisier):
        words += f", whose loss scatters {number(noisier)} times as much as that of the steps before it"
    holds = rest <= batch / 8 and (noisier > 1.5 if math.isfinite(noisier) else True)
    return Cause(holds, words + ".", 2, *_without_last_batch(run, size, batch))


def _without_last_batch(run: Run, size: int, batch: int) -> tuple[dict[str, object], str]:
    """The hyperparameters that avoid a small last batch, and the advice to set them."""
    if run.words.is_ours:
        return {"drop-last": True}, "Set drop-last=true, which leaves out that batch: other pictures in every epoch."
    even = _even_batch(size, batch)
    return even, f"Drop the last batch (drop_last=True), or set {change(run.settings, even)}."


def _spread_of_steps(values: NDArray[np.float64]) -> float:
    """Scatter of losses around their slowly changing mean, from differences of neighbors."""
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(np.diff(finite) ** 2) / 2)) if len(finite) > 3 else math.nan


def _even_batch(size: int, batch: int) -> dict[str, object]:
    """The nearest batch size with which the last batch is at least half full."""
    for distance in range(1, batch):
        for near in (batch + distance, batch - distance):
            if near > 0 and (size % near == 0 or size % near >= near / 2):
                return {"batch-size": near}
    return {}


def _pictures(run: Run, spiky: Sequence[int]) -> Cause | None:
    """Whether one percent of the pictures cause an unusual share of the worst spike."""
    worst = max(spiky, key=lambda epoch: run.valid.loss[epoch] - run.valid.loss[epoch - 1])
    there, before = run.picture_losses(worst), run.picture_losses(worst - 1)
    if there is None or before is None or len(there) != len(before):
        return None
    rise = there - before
    count = few_of(len(rise))
    top = np.argsort(rise)[::-1][:count]
    share = float(rise[top].sum() / rise.sum()) if rise.sum() > 0 else 0.0
    names = names_of(run, top)
    words = (
        f"a few pictures with a huge loss: {counted(count, 'picture')} of {len(rise)} cause "
        f"{percent(min(share, 1.0))} of the "
        f"rise to the spike of epoch {worst + 1}" + (f": {joined(names)}" if names else "")
    )
    return Cause(
        share > unusual_share(count, len(rise)), words + ".", 1, {}, "Look at these pictures and their labels."
    )


def _small_split(run: Run, spiky: Sequence[int]) -> Cause | None:
    """Whether so few pictures make the loss that a spike may be chance, and none has been tested for that."""
    if run.best is None:
        return None
    pictures = run.picture_losses(run.best)
    if pictures is None or not run.valid.loss[run.best] > 0:
        return None
    half = statistics.t_quantile(len(pictures) - 1) * statistics.standard_error(pictures)
    loss = float(run.valid.loss[run.best])
    words = (
        f"a validation split too small: its {len(pictures):,} pictures determine the loss to ± {number(half)} "
        f"({percent(half / loss)})"
    )
    too_small = half > WIDE_LOSS * loss and len(pictures) < 500
    tested = all(run.picture_losses(epoch) is not None for epoch in spiky)  # see `_beyond_error`
    if too_small and tested:
        words += ", but the same pictures were evaluated in the neighboring epochs, so it is not what made the spikes"
    return Cause(too_small and not tested, words + ".", 0, {}, "Use more validation pictures.")


def _last_batch_of_evaluation(run: Run) -> list[Insight]:
    """Reports a smaller last batch of each evaluation, which looks like a spike if it is plotted step by step."""
    series = loss_series(run.trial, EVAL)
    counts = {len(steps) for steps in run.eval_steps if len(steps)}
    if series is None or len(counts) != 1 or (batches := counts.pop()) < 4 or len(run.validated) < 3:
        return []
    found = [series.values[np.isin(series.steps, steps)] for steps in run.eval_steps if len(steps)]
    if any(len(losses) != batches for losses in found):  # some were lost
        return []
    rows = np.array(found)
    relative = rows / rows.mean(axis=1, keepdims=True) - 1
    bias, error = float(relative[:, -1].mean()), statistics.standard_error(relative[:, -1])
    others = float(relative[:, :-1].mean(axis=0).std(ddof=1))
    size, batch = run.size("valid"), run.batch_size
    if not (size and batch and math.ceil(size / batch) == batches and size % batch):
        return []
    if not abs(bias) >= 3 * max(others, error):  # NaN if the losses of an evaluation are all 0
        return []
    return [
        Insight(
            topic="evaluation-last-batch",
            title=f"Each evaluation's last batch has a loss {percent(abs(bias))} {'above' if bias > 0 else 'below'} "
            f"the others: it has only {size % batch} instead of {batch} pictures.",
            explanation=(
                "Plotted step by step, it looks like a spike in every epoch. It is not a spike: a mean over few "
                "pictures varies more, and these are the same pictures each time. The epoch's mean weights each batch "
                "by its size."
            ),
            evidence=(
                (
                    f"The other {batches - 1} batches differ by ± {percent(others)} from each other, over {len(rows)} "
                    "evaluations."
                ),
            ),
            confidence="high" if len(rows) >= 5 else "medium",
            next_step="Compare epochs by their means, not step by step.",
        )
    ]
