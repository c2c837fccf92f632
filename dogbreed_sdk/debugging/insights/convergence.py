"""How far training got: its result, whether it was still improving, and whether epochs were wasted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dogbreed_sdk._util.formatting import change, interval, number, percent, seconds
from dogbreed_sdk.debugging.insights.insight import Insight, Severity
from dogbreed_sdk.debugging.insights.overfit_rule import memorized
from dogbreed_sdk.debugging.insights.rates import better_rate, update_evidence
from training_scripts._util.number_text import counted, number_text
from training_scripts._util.wilson import Z95, wilson
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.learning_rate import FIRST_UPDATE, first_update, steps_are_small
from training_scripts.rules.evidence.run import AS_GOOD, KEEPS_BEST, Curve, Run

# More epochs are not worthwhile if the loss fell by less than 3%, or by less than 0.02, over the last third of them.
WORTH_MORE, FELT = 0.03, 0.02
# If this share of the training pictures is learned, or the training loss is below this share of the validation loss,
# more epochs do not help once the schedule has ended.
ROOM, NOT_FAR_BELOW = 0.95, 0.3
# A model that classifies nine of ten training pictures correctly has learned well. A fall of the loss by more than the
# second share is serious.
LEARNED, SERIOUS = 0.9, 0.2
# With a loss above the first share of the chance-level loss, a model hardly knows anything. Below the second share, it
# has learned nearly everything, and what more epochs would add is small, though the loss may halve.
HARDLY, MOSTLY = 0.8, 0.25
# A run of fewer epochs was ended early on purpose.
ENOUGH_EPOCHS = 5
# If a whole run has fewer optimizer steps than this, and the batch can be made smaller, the batch is too large.
FEW_STEPS = 300
SMALLEST_BATCH = 32
LARGE_BATCH = 128
# A first update below this share of the usual one means a learning rate that wastes epochs.
TIMID = 0.4
WASTE, MOST = 0.3, 2 / 3
LONG_SECONDS = 600.0
MARGIN = 1.2
PATIENCE = 3


@dataclass(frozen=True)
class Outlook:
    """Why more training would help. By how much is not estimated: extrapolations were wrong by a factor of ten.

    Attributes:
        since: The epoch (from 0) from which the fall is counted.
        fallen: How much the loss fell from there to the end.
        share: The same, as a share of the lowest loss.
        sure: Whether the fall is many times its standard error.
    """

    since: int
    fallen: float
    share: float
    sure: bool


def outlook(run: Run) -> Outlook | None:
    """Whether the loss was still falling at the end; None if that is not certain, or not worth more epochs.

    The fall over the last third of the epochs must exceed its standard error and be a few percent of the loss. The
    lowest loss must be at the end, and the last loss practically as low: a loss that has risen since then no longer
    falls. If the training pictures are memorized, more epochs do not help.
    """
    curve = _watched(run)
    if run.epochs < 3 or not np.isfinite(curve).all() or not curve.min() > 0 or not _leaves_room(run):
        return None
    since = run.epochs - 1 - math.ceil(run.epochs / 3)
    best, fallen = int(np.argmin(curve)), float(curve[since] - curve[-1])
    at_end = run.epochs - 1 - best <= max(1, run.epochs // 10) and curve[-1] <= (1 + AS_GOOD) * curve[best]
    if not at_end or fallen < max(WORTH_MORE * curve[best], FELT):
        return None
    # A training loss is a mean over thousands of pictures, so a fall by a few percent is not chance.
    score = run.excess(since, run.epochs - 1).score if len(run.validated) == run.epochs else math.inf
    if score < Z95:
        return None
    return Outlook(since, fallen, fallen / float(curve[best]), sure=score > 2 * Z95)


def _leaves_room(run: Run) -> bool:
    """Whether training pictures are left to learn from."""
    ends_at_zero = run.settings.get("scheduler") in ("cosine", "step")
    learned = _known(run) >= ROOM or run.train.loss[-1] < NOT_FAR_BELOW * _watched(run)[-1]
    return not memorized(run) and not (ends_at_zero and learned)


def find(run: Run) -> list[Insight]:
    """Reports that more epochs would help, or that fewer would do."""
    ahead = outlook(run)
    if ahead is not None:
        return [_unfinished(run, ahead)]
    if run.epochs == 1:
        return [_one_epoch(run)]
    idle = _idle(run)
    return [idle] if idle else []


def result(run: Run) -> list[Insight]:
    """The result of the run: best epoch, loss and accuracy, with their intervals."""
    if run.best is None:
        return []
    best = run.best
    loss, accuracy, size = float(run.valid.loss[best]), float(run.valid.accuracy[best]), run.valid_size
    evidence = [
        f"Validation loss {with_interval(run, best)}"
        + (f"; guessing gives {number(run.chance)}." if run.chance else ".")
    ]
    which = _which(run, best)
    title = f"{which}: validation loss {number(loss)}."
    if math.isfinite(accuracy) and size:
        low, high = wilson(accuracy * size, size)
        title = f"{which}: validation accuracy {percent(accuracy)} (95% interval {percent(low)} to {percent(high)})."
        evidence.append(f"The accuracy is that of {counted(size, 'validation picture')}.")
    evidence += _at_the_end(run, best)
    insight = Insight(
        topic="result",
        title=title,
        explanation=(f"{KEEPS_BEST}: epoch {best + 1}." if run.keeps_best else "Evaluated on the validation pictures.")
        + _smoothing(run),
        evidence=tuple(evidence),
        confidence="high" if size and size >= 100 else "medium" if size else "low",
        steps=(run.last_step(best),),
    )
    return [insight]


def _at_the_end(run: Run, best: int) -> list[str]:
    """Compares the loss of the last recorded epoch with that of the best one."""
    last = float(run.valid.loss[-1])
    if best == run.epochs - 1:
        return []
    if not math.isfinite(last):
        return ["The last epoch's loss is not a number, or was not recorded."]
    excess = run.excess(run.epochs - 1, best)
    if abs(excess.mean) < AS_GOOD * float(run.valid.loss[best]):
        return [f"The last epoch's loss is {number(last)}, practically the same."]
    if not math.isfinite(excess.error):
        return [f"The last epoch's loss is {number(last)}, {number(excess.mean)} more."]
    more = interval(excess.mean, Z95 * excess.error)
    return [f"The last epoch's loss is {number(last)}: {more} more ({excess.source})."]


def _which(run: Run, best: int) -> str:
    """Names the best epoch, and the epoch by which the loss had converged, if it had."""
    if run.epochs == 1:
        return "After one epoch"
    named = f"the epoch with the lowest validation loss is {best + 1} of {run.epochs}"
    # If the loss is lowest at the very end, it has converged only if it was nearly as low long before.
    rests = best < run.epochs - 1 or run.epochs - 1 - run.rests >= max(3, run.epochs // 3)
    if rests and run.epochs // 2 <= best and len(run.validated) == run.epochs >= 5 and outlook(run) is None:
        return f"Converged by epoch {run.rests + 1}, {named}"
    return named[0].upper() + named[1:]


def epochs_of_same_way(run: Run, epoch: int) -> int:
    """Number of epochs with a cosine schedule that get as far as this run had got after `epoch` (from 0).

    The distance is the sum of the learning rates over all steps, which is an integral of the cosine schedule. A short
    schedule gets less far than the same number of epochs at the start of a longer one.
    """
    planned = max(int(run.settings.get("epochs", run.epochs)), run.epochs)
    done = (epoch + 1) / planned
    return math.ceil(planned * (done + math.sin(math.pi * done) / math.pi))


def with_interval(run: Run, epoch: int) -> str:
    """The validation loss of an epoch (from 0), with its 95% interval if single pictures were recorded."""
    loss, pictures = float(run.valid.loss[epoch]), run.picture_losses(epoch)
    if pictures is None or len(pictures) < 2:
        return number(loss)
    return interval(loss, statistics.t_quantile(len(pictures) - 1) * statistics.standard_error(pictures))


def _smoothing(run: Run) -> str:
    amount = run.settings.get("label-smoothing") or 0.0
    if not amount or not run.classes:
        return ""
    return (
        f" With label smoothing {number_text(amount)}, the network learns to spread {percent(amount)} of the "
        f"probability over all classes. This adds about {number(-math.log(1 - amount * (1 - 1 / run.classes)))} to the "
        "recorded loss even if every prediction is right, so compare such runs with others by accuracy."
    )


def _watched(run: Run) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The loss that shows convergence: the validation loss, or the training loss if there is no validation."""
    curve: Curve = run.valid if len(run.validated) == run.epochs else run.train
    return curve.loss


def _unfinished(run: Run, ahead: Outlook) -> Insight:
    what = "validation" if len(run.validated) == run.epochs else "training"
    loss = float(np.min(_watched(run)))
    new, why = _how_to_go_on(run)
    return Insight(
        topic="not-converged",
        title=f"{_main_reason(new)}: the {what} loss was still falling at the last recorded epoch.",
        explanation=f"A run that gets further would have a lower loss; only a new run shows how much lower. {why}",
        evidence=(
            (
                f"The {what} loss fell by {number(ahead.fallen)} ({percent(ahead.share)} of its lowest value) over the "
                f"last {counted(run.epochs - 1 - ahead.since, 'epoch')}, to {number(loss)}."
            ),
            *(update_evidence(run) if "lr" in new else []),
        ),
        confidence="high" if ahead.sure and ahead.share > 2 * WORTH_MORE else "medium",
        next_step=f"Set {change(run.settings, new)}." if new else "Train for twice as many epochs.",
        severity=_severity(run, loss, ahead),
        hyperparameters=new,
        steps=(run.last_step(run.epochs - 1),),
    )


def _severity(run: Run, loss: float, ahead: Outlook) -> Severity:
    """How much a run misses that ended too early. In a run that does well, a loss that still falls is not a fault."""
    if loss > HARDLY * run.scale and run.epochs >= ENOUGH_EPOCHS and _known(run) < LEARNED:
        return "problem"
    return "hint" if ahead.share > SERIOUS and loss > MOSTLY * run.scale and not run.does_well else "info"


def _known(run: Run) -> float:
    """Training accuracy at the end; 0 if it was not recorded."""
    return float(np.nan_to_num(run.train.accuracy[-1]))


def _main_reason(new: dict[str, object]) -> str:
    if "lr" in new:
        return "The learning rate is too small"
    return "There were too few steps" if "batch-size" in new else "Training had not converged"


def _how_to_go_on(run: Run) -> tuple[dict[str, object], str]:
    """The change that gets the run further, and the reason: larger steps, more steps, or more epochs."""
    total = run.last_step(run.epochs - 1) + 1
    batch = run.batch_size
    ratio = first_update(run.trial)
    faster = better_rate(run, larger=True)
    dropout = run.settings.get("dropout", 0.0)
    if dropout >= 0.5 and run.valid.accuracy[-1] - run.train.accuracy[-1] > 0.1:
        return {"dropout": round(dropout / 2, 2)}, (
            f"In training, dropout hides {percent(dropout)} of the units, and accuracy is far lower than without it: "
            "it slows learning more than it helps."
        )
    if batch and batch >= LARGE_BATCH and total < FEW_STEPS:
        smaller = max(SMALLEST_BATCH, 2 ** int(math.log2(batch * total / FEW_STEPS)))
        return {"batch-size": min(smaller, batch // 2)}, (
            f"The whole run had only {total:,} steps of {batch:,} pictures: a smaller batch gives more steps with the "
            "same pictures."
        )
    if not run.does_well and ratio < TIMID * FIRST_UPDATE and steps_are_small(run.trial) and faster:
        return faster, "The steps are small for a new layer: a larger learning rate needs no more epochs."
    planned = int(run.settings.get("epochs", run.epochs))
    return (
        {"epochs": 2 * planned} if "epochs" in run.settings else {}
    ), "The steps have a healthy size, so more of them are needed."


def _one_epoch(run: Run) -> Insight:
    losses = run.losses.values
    third, last = np.array_split(losses[len(losses) // 2 :], 2)  # quarters of the epoch
    falling = len(last) >= 5 and third.mean() - last.mean() > Z95 * math.hypot(
        statistics.standard_error(third), statistics.standard_error(last)
    )
    return Insight(
        topic="not-converged",
        title="One epoch cannot show whether training converged.",
        explanation="Overfitting, convergence and the best epoch show only where several epochs can be compared.",
        evidence=(
            f"The training loss went from {number(float(losses[0]))} to "
            f"{number(float(losses[-max(1, len(losses) // 10) :].mean()))} "
            f"in {counted(len(losses), 'step')}" + (" and was still falling in the second half." if falling else "."),
        ),
        confidence="high",
        next_step="Set epochs=10, the default." if run.words.is_ours and run.settings else "Train for several epochs.",
        severity="info" if _watched(run)[-1] < HARDLY * run.scale else "hint",
        hyperparameters={"epochs": 10} if run.words.is_ours and run.settings else {},
        steps=(run.last_step(0),),
    )


def patience_for(run: Run, epoch: int) -> int:
    """The patience with which a run would have reached `epoch` (from 0): 1.5 times its longest wait for a new best."""
    losses = run.valid.loss[run.validated[run.validated <= epoch]]
    records = np.flatnonzero(losses <= np.minimum.accumulate(losses))
    longest = int(np.diff(records).max()) if len(records) > 1 else 1
    return max(PATIENCE, math.ceil(1.5 * longest))


def _idle(run: Run) -> Insight | None:
    """Reports epochs without improvement. If the loss clearly turned, the insight on overfitting replaces this one."""
    # With label smoothing, training minimizes another loss than the recorded one, which does not show when to stop.
    if run.best is None or run.epochs < 5 or run.settings.get("label-smoothing"):
        return None
    losses = run.valid.loss[run.validated]
    worse = losses[-1] > (1 + 2 * AS_GOOD) * losses.min()
    enough = run.best if worse else run.rests
    wasted = run.epochs - 1 - enough
    cosine, patience = run.settings.get("scheduler") == "cosine", patience_for(run, enough)
    saved = wasted if cosine else wasted - patience  # epochs spent waiting are not saved
    if saved < max(3, WASTE * run.epochs):
        return None
    fewer = math.ceil(MARGIN * epochs_of_same_way(run, enough))
    if cosine and fewer > (1 - WASTE) * run.epochs:
        return None
    new: dict[str, object] = {"epochs": fewer} if cosine else {"patience": patience}
    if not run.words.is_ours:
        new = {"epochs": enough + 1 + PATIENCE} if "epochs" in run.settings else {}
    new = new if run.settings else {}
    most = wasted > MOST * run.epochs and wasted >= 10
    step = f"Set {change(run.settings, new)}" if new else "Stop earlier"
    if most and cosine and new and run.words.is_ours:
        step += f"; or set patience={patience}, which ends any run that no longer improves"
    return Insight(
        topic="too-many-epochs",
        title=f"The last {wasted} of {run.epochs} epochs brought no improvement.",
        explanation=f"After epoch {enough + 1} the validation loss was never "
        + ("lower." if worse else f"lower by more than {percent(AS_GOOD)}.")
        + (" A cosine schedule of so few epochs gets at least as far, and ends with small steps." if cosine else ""),
        evidence=_evidence_of_idling(run, enough),
        confidence="high" if most or (run.valid_size and run.valid_size >= 100) else "medium",
        next_step=f"{step}.",
        # Epochs after convergence harm nothing but the time they take.
        severity="hint" if most and run.epoch_seconds * wasted > LONG_SECONDS else "info",
        hyperparameters=new,
        steps=(run.last_step(enough),),
    )


def _evidence_of_idling(run: Run, enough: int) -> tuple[str, ...]:
    losses, spent = run.valid.loss[run.validated], run.epoch_seconds * (run.epochs - 1 - enough)
    best = enough if run.best is None else run.best
    lowest = f"best {number(float(losses.min()))} after epoch {best + 1}, " if best != enough else ""
    of_loss = (
        f"Validation loss {number(float(run.valid.loss[enough]))} after epoch {enough + 1}, {lowest}"
        f"{number(float(losses[-1]))} at the end."
    )
    return (of_loss, *([f"These epochs took {seconds(spent)}."] if math.isfinite(spent) else []))
