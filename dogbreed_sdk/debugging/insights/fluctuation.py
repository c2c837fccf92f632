"""Fluctuations of the training loss: how much random batches cause, and how much the learning rate causes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dogbreed_sdk._util.formatting import change, number, percent
from dogbreed_sdk.debugging.insights import batch_noise
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.rates import better_rate, update_evidence
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95
from training_scripts.rules.evidence import curves
from training_scripts.rules.evidence.batch_noise import ENOUGH_STEPS, SMOOTHING
from training_scripts.rules.evidence.run import Run, Values

# Scatter above a quarter of the whole fall hides the shape of the curve.
HIDES_THE_CURVE = 0.25
# Scatter above half of the loss hides it too.
HIDES_THE_LEVEL = 0.5
# Accuracies that scatter more than this factor beyond the sampling error cannot be explained by random batches.
EXCESS = 1.4
SMALL_BATCH, QUIET_BATCH = 32, 64
# Scatter below this is not worth reporting, however large it is compared with a tiny loss.
FELT = 0.05
# If steps are twice as large as the curvature allows, neighboring deviations alternate with a correlation near -1.
OVERSHOOTING = -0.4


@dataclass(frozen=True)
class StepNoise:
    """Scatter of the training loss from step to step, after its initial fall.

    Attributes:
        observed: Standard deviation around the smoothed loss.
        sampling: Estimated scatter from random batches alone.
        excess: Observed over expected scatter of the accuracy, whose sampling error is known exactly; NaN if unknown.
        excess_low: Lower end of the 95% interval of `excess`.
        alternation: Correlation of neighboring deviations. It is below 0 if each step overshoots the one before.
        overshoots: Whether it is so far below 0 that neither chance nor sampling without replacement explains it.
        early: Scatter relative to the loss in the first third.
        late: Scatter relative to the loss in the last third.
        relative: Scatter relative to the loss.
        fall: Difference between the largest and the smallest smoothed loss.
    """

    observed: float
    sampling: float
    excess: float
    excess_low: float
    alternation: float
    overshoots: bool
    early: float
    late: float
    relative: float
    fall: float


def noise_of_steps(run: Run) -> StepNoise | None:
    """Measures the scatter; None if there are too few steps."""
    losses = run.losses.values[: _whole_steps(run)]
    if len(losses) < ENOUGH_STEPS or not np.isfinite(losses).all():
        return None
    level = curves.centered_mean(losses, SMOOTHING)
    fall = float(level.max() - level.min())
    settled = slice(len(losses) // 5, None)  # the initial fall is not a fluctuation
    # A moving average over nine values contains a ninth of the variance of white noise.
    deviations = (losses - level)[settled] / math.sqrt(1 - 1 / SMOOTHING)
    third = len(deviations) // 3
    relative = deviations / np.maximum(level[settled], 1e-12)
    excess, low = _excess(run, settled)
    observed = float(deviations.std())
    # Deviations of white noise from a moving average have a correlation of about -1/9.
    alternation = curves.lag_one(deviations) + 1 / SMOOTHING
    return StepNoise(
        observed=observed,
        sampling=observed / excess if math.isfinite(excess) and excess > 1 else observed,
        excess=excess,
        excess_low=low,
        alternation=alternation,
        overshoots=alternation < OVERSHOOTING - _by_drawing(run) - Z95 / math.sqrt(len(deviations)),
        early=float(relative[:third].std()),
        late=float(relative[-third:].std()),
        relative=float(relative.std()),
        fall=fall,
    )


def find(run: Run) -> list[Insight]:
    """Reports a training loss that fluctuates more than random batches explain, or because of them."""
    noise, batch = noise_of_steps(run), run.batch_size
    if noise is None:
        return []
    if not run.does_well and (noise.excess_low > EXCESS or noise.overshoots):
        return [_too_much(run, noise)]
    hidden = noise.observed > HIDES_THE_CURVE * noise.fall or noise.relative > HIDES_THE_LEVEL
    if batch and batch < SMALL_BATCH and hidden and noise.observed > FELT:
        return [_small_batches(run, noise, batch)]
    return batch_noise.find(run)


def _too_much(run: Run, noise: StepNoise) -> Insight:
    new = better_rate(run, larger=False)
    evidence = [f"The training loss scatters by ± {number(noise.observed)} around its smoothed curve."]
    if math.isfinite(noise.excess):
        evidence.append(
            f"The accuracy scatters {noise.excess:.1f} times as much as sampling {run.batch_size} pictures per step "
            f"explains (at least {noise.excess_low:.1f} times, 95%)."
        )
    evidence.append(
        f"Neighboring deviations correlate by {noise.alternation:+.2f}: "
        + (
            "each step overshoots the one before."
            if noise.overshoots
            else "they come in waves."
            if noise.alternation > 0.2
            else "no pattern."
        )
    )
    evidence.append(_with_the_schedule(run, noise))
    return Insight(
        topic="training-fluctuations",
        title="The training loss fluctuates more than random batches explain: the steps are too large.",
        explanation="Each batch has different pictures, so some scatter is expected and its size is known. The excess "
        "comes from weights that change too much at each step.",
        evidence=(*evidence, *batch_noise.evidence(run), *update_evidence(run)),
        confidence="high" if noise.excess_low > 1.5 * EXCESS else "medium",
        next_step=f"Set {change(run.settings, new)}." if new else "Divide the learning rate by 3.",
        severity="hint",
        hyperparameters=new,
    )


def _by_drawing(run: Run) -> float:
    """How strongly steps of an epoch alternate because each picture is drawn once: the other steps lack it."""
    steps = float(np.median([len(steps) for steps in run.train_steps]))
    return 1 / (steps - 1) if steps > 1 else 1.0


def _small_batches(run: Run, noise: StepNoise, batch: int) -> Insight:
    new: dict[str, object] = {"batch-size": min(QUIET_BATCH, 4 * batch)}
    calmer = math.sqrt(min(QUIET_BATCH, 4 * batch) / batch)
    return Insight(
        topic="training-fluctuations",
        title=f"The training loss is noisy because each step sees only {counted(batch, 'picture')}.",
        explanation="Such small batches cause this scatter; it is not a sign of a wrong learning rate. "
        "It falls with the square root of the batch size.",
        evidence=(
            f"It scatters by ± {number(noise.observed)}, {percent(noise.relative)} of the loss at the same steps.",
            *(
                [
                    (
                        f"The accuracy scatters {noise.excess:.2f} times as much as sampling {batch} pictures "
                        "explains: as expected."
                    )
                ]
                if math.isfinite(noise.excess)
                else []
            ),
            *batch_noise.evidence(run),
        ),
        confidence="high" if math.isfinite(noise.excess) else "medium",
        next_step=f"Set {change(run.settings, new)}: the scatter is {calmer:.1f} times smaller, and training is "
        "faster; or compare the means of epochs.",
        severity="info",
        hyperparameters=new,
    )


def _with_the_schedule(run: Run, noise: StepNoise) -> str:
    relation = noise.late / noise.early if noise.early > 0 else math.nan
    words = f"Relative to the loss it scatters by {percent(noise.early)} early and {percent(noise.late)} late"
    scheduler = run.settings.get("scheduler")
    if math.isfinite(relation) and scheduler in ("cosine", "step"):
        words += (
            ": it calms down with the learning rate" if relation < 0.7 else ": smaller steps at the end do not calm it"
        )
    return words + "."


def _excess(run: Run, settled: slice) -> tuple[float, float]:
    """Observed over binomial scatter of the accuracy, and the lower end of its 95% interval."""
    values: Values = run.accuracies.values[: _whole_steps(run)]
    batch = run.batch_size
    if not batch or len(values) < ENOUGH_STEPS or len(values) != len(run.losses.values[: _whole_steps(run)]):
        return math.nan, math.nan
    level = curves.centered_mean(values, SMOOTHING)[settled]
    deviations = (values[settled] - level) / math.sqrt(1 - 1 / SMOOTHING)
    whole = _full_batches(run)[settled]
    expected = (np.clip(level, 0, 1) * (1 - np.clip(level, 0, 1)) / batch)[whole]
    freedom = int(whole.sum())
    # Near 0 or 1 a few single answers decide, and the binomial distribution is too far from normal to compare with.
    if freedom < ENOUGH_STEPS // 2 or expected.mean() * batch < 1 / batch / 4 or expected.mean() <= 0:
        return math.nan, math.nan
    ratio = math.sqrt(float((deviations[whole] ** 2).mean() / expected.mean()))
    return ratio, ratio * max(0.0, 1 - Z95 / math.sqrt(2 * freedom))


def _whole_steps(run: Run) -> int:
    return min(len(run.losses), len(run.accuracies)) if len(run.accuracies) else len(run.losses)


def _full_batches(run: Run) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which steps had a full batch: all except the last of each epoch."""
    last = [int(steps[-1]) for steps in run.train_steps]
    return ~np.isin(run.losses.steps[: _whole_steps(run)], last)
