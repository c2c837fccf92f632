"""How far training came: what it reached, whether it was still improving, or went on for nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dogbreed_sdk.debugging.insights import statistics
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.rates import FIRST_UPDATE, better_rate, first_update, update_evidence
from dogbreed_sdk.debugging.insights.run import KEEPS_BEST, Curve, Run
from dogbreed_sdk.debugging.insights.words import change, interval, plural
from dogbreed_sdk.debugging.plain_values import number, percent, seconds

# Twenty runs on breeds were really doubled: the loss fell by 0.7 to 4 times the estimate. Small estimates held only
# where the training loss had not left the validation loss far below: else twice the epochs overfitted.
WORTH_MORE, CERTAIN, NOT_FAR_BELOW = 0.025, 0.1, 0.3
# Nor does anyone feel a hundredth of a nat, however large a share of a tiny loss it is.
FELT = 0.02
# An epoch within 1 % of the best loss is as good as the best.
AS_GOOD = 0.01
# Fewer optimiser steps than this in a whole run, with room to make the batch smaller, is the batch's fault.
FEW_STEPS = 300
SMALLEST_BATCH = 32
LARGE_BATCH = 128
# A third of the first step's usual size is a learning rate that wastes epochs.
TIMID = 0.4
WASTE = 0.3
MARGIN = 1.2
PATIENCE = 3


@dataclass(frozen=True)
class Outlook:
    """What more training would bring.

    Attributes:
        gain: Expected fall of the validation loss if the run were twice as long.
        share: The same as a share of the loss reached.
        fallen: By how much the loss fell over the last third of the run's way.
        shrinks: Whether its falls shrink; where they do not, the gain is no estimate.
    """

    gain: float
    share: float
    fallen: float
    shrinks: bool


def outlook(run: Run) -> Outlook | None:
    """Extrapolates the curve; None where it says nothing of use, or no more is to be gained.

    The way is measured in learning rate times steps, since a cosine's last epochs hardly move. The falls over its
    second and third third give the rate at which falls shrink; a run twice as long adds three more thirds. The same
    is done with the loss's logarithm, which cannot lead below 0; the smaller gain counts.
    """
    curve = _watched(run)
    if run.epochs < 3 or not np.isfinite(curve).all():
        return None
    way = travelled(run)
    start = run.chance or float(run.losses.values[0])
    if not min(float(curve.min()), start) > 0:  # no loss whose share of something says anything
        return None
    at = np.interp([1 / 3, 2 / 3, 1.0], np.concatenate([[0.0], way]), np.concatenate([[start], curve]))
    before, last = float(at[0] - at[1]), float(at[1] - at[2])
    if last <= 0 or before <= 0:
        return None
    gain = min(_further(before, last), float(at[2]) * -math.expm1(-_further(*np.log(at[:2] / at[1:]).tolist())))
    best = int(np.argmin(curve))
    at_end = best >= run.epochs - 1 - max(1, run.epochs // 5)
    overfitted = gain < CERTAIN * curve[best] and run.train.loss[best] < NOT_FAR_BELOW * curve[best]
    if overfitted or not at_end or gain < max(WORTH_MORE * curve[best], FELT) or not _significant_fall(run, way):
        return None
    return Outlook(gain, gain / float(curve[best]), last, shrinks=last < before)


def _further(before: float, last: float) -> float:
    """What three more thirds bring, if the falls go on to shrink as they did from the second third to the last."""
    shrinks = min(last / before, 0.95)
    return last * (shrinks + shrinks**2 + shrinks**3)


def travelled(run: Run) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of the run's way done after each epoch, float64 [epochs], by the schedule of train_model."""
    planned = max(int(run.settings.get("epochs", run.epochs)), run.epochs)
    done = np.arange(1, run.epochs + 1) / planned
    scheduler = run.settings.get("scheduler")
    if scheduler == "cosine":
        way = done + np.sin(np.pi * done) / np.pi
    elif scheduler == "step":  # a tenth after each third
        way = np.interp(done, [0, 1 / 3, 2 / 3, 1], [0, 1 / 3, 1.1 / 3, 1.11 / 3])
    else:
        way = done
    share: np.ndarray[tuple[int], np.dtype[np.float64]] = way / way[-1]
    return share


def look(run: Run) -> list[Insight]:
    """The result in one statement; and that more, or fewer, epochs would do, where that holds."""
    ahead = outlook(run)
    if ahead is not None:
        return [_unfinished(run, ahead)]
    if run.epochs == 1:
        return [_one_epoch(run)]
    idle = _idle(run)
    return [idle] if idle else []


def result(run: Run) -> list[Insight]:
    """What the run reached: best epoch, loss and accuracy with their intervals."""
    if run.best is None:
        return []
    best = run.best
    loss, accuracy, size = float(run.valid.loss[best]), float(run.valid.accuracy[best]), run.valid_size
    evidence = [
        f"Validation loss {with_interval(run, best)}"
        + (f"; guessing costs {number(run.chance)}." if run.chance else ".")
    ]
    which = _which(run, best)
    title = f"{which}: validation loss {number(loss)}."
    if math.isfinite(accuracy) and size:
        half = statistics.half_width(accuracy, size)
        low, high = statistics.wilson(accuracy * size, size)
        title = f"{which}: validation accuracy {percent(accuracy)} ± {100 * half:.1f}."
        evidence.append(
            f"Validation accuracy {percent(accuracy)}, 95 % interval {percent(low)} to {percent(high)} ({size} "
            "pictures)."
        )
    evidence += _at_the_end(run, best)
    insight = Insight(
        topic="result",
        title=title,
        explanation=(f"{KEEPS_BEST}: epoch {best + 1}." if run.keeps_best else "Judged on the validation pictures.")
        + _smoothing(run),
        evidence=tuple(evidence),
        confidence="high" if size and size >= 100 else "medium" if size else "low",
        steps=(run.last_step(best),),
    )
    return [insight]


def _at_the_end(run: Run, best: int) -> list[str]:
    """The last recorded epoch's loss against the best one's."""
    last = float(run.valid.loss[-1])
    if best == run.epochs - 1:
        return []
    if not math.isfinite(last):
        return ["The last epoch's loss is not a number, or was not recorded."]
    excess = run.excess(run.epochs - 1, best)
    same = abs(excess.score) < statistics.Z95 and math.isfinite(excess.error)
    more = "no different within its error" if same else f"{number(excess.mean)} more"
    return [f"The last epoch's loss is {number(last)}, {more}."]


def _which(run: Run, best: int) -> str:
    """When the best epoch came, and where known that the loss had come to rest."""
    if run.epochs == 1:
        return "After one epoch"
    named = f"the best of {run.epochs} epochs is {best + 1}"
    # A loss that is lowest at the very end may have come to rest there, or may not.
    if run.epochs // 2 <= best < run.epochs - 1 and len(run.judged) == run.epochs >= 5 and outlook(run) is None:
        return f"Converged by epoch {_enough(run) + 1}, {named}"
    return named[0].upper() + named[1:]


def _enough(run: Run) -> int:
    """The first epoch (from 0) that is as good as the best."""
    losses = run.valid.loss[run.judged]
    return int(run.judged[np.argmax(losses <= (1 + AS_GOOD) * losses.min())])


def epochs_of_same_way(run: Run, epoch: int) -> int:
    """How many epochs a cosine needs to go as far as this run had gone after `epoch` (from 0).

    Way is learning rate times steps: the integral of a cosine's half wave, so a shorter cosine goes less far than as
    many epochs of a longer one.
    """
    planned = max(int(run.settings.get("epochs", run.epochs)), run.epochs)
    done = (epoch + 1) / planned
    return math.ceil(planned * (done + math.sin(math.pi * done) / math.pi))


def with_interval(run: Run, epoch: int) -> str:
    """The validation loss of an epoch (from 0) with its 95 % interval, where single pictures tell it."""
    loss, pictures = float(run.valid.loss[epoch]), run.picture_losses(epoch)
    if pictures is None or len(pictures) < 2:
        return number(loss)
    return interval(loss, statistics.t_quantile(len(pictures) - 1) * statistics.standard_error(pictures))


def _smoothing(run: Run) -> str:
    amount = run.settings.get("label-smoothing") or 0.0
    if not amount or not run.classes:
        return ""
    return (
        f" Label smoothing {amount:g} teaches the network to hold back {percent(amount)} of every answer's certainty, "
        f"which costs about {number(-math.log(1 - amount * (1 - 1 / run.classes)))} of recorded loss even where every "
        "answer is right: compare such runs with others by accuracy."
    )


def _watched(run: Run) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The loss that tells convergence: validation, or training where nothing was validated."""
    curve: Curve = run.valid if len(run.judged) == run.epochs else run.train
    return curve.loss


def _significant_fall(run: Run, way: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the last third of the way lowered the loss by more than its error."""
    if len(run.judged) != run.epochs:
        return True  # a training loss averages thousands of pictures; its fall by 5 % is no accident
    earlier = min(int(np.searchsorted(way, 2 / 3)), run.epochs - 2)
    score = run.excess(earlier, run.epochs - 1).score
    return score > statistics.Z95


def _unfinished(run: Run, ahead: Outlook) -> Insight:
    what = "validation" if len(run.judged) == run.epochs else "training"
    loss = float(np.min(_watched(run)))
    new, why = _how_to_go_on(run)
    known = float(np.nan_to_num(run.train.accuracy[-1])) > 0.9
    return Insight(
        topic="not-converged",
        title=f"{_main_reason(new)}: the {what} loss was still falling at the last recorded epoch.",
        explanation=f"{_promise(ahead)} {why}"
        + (" The training pictures are known already, so accuracy will gain less than the loss." if known else ""),
        evidence=(
            (
                f"The {what} loss fell by {number(ahead.fallen)} over the last third of the way (learning rate times "
                f"steps) and reached {number(loss)}."
            ),
            _extrapolated(ahead, loss),
            *update_evidence(run),
        ),
        confidence="high" if ahead.share > CERTAIN else "medium",
        next_step=f"Set {change(run.settings, new)}." if new else "Train for twice as many epochs.",
        severity="problem" if not known and (ahead.share > 0.2 or loss > 0.5 * (run.chance or math.inf)) else "hint",
        hyperparameters=new,
        steps=(run.last_step(run.epochs - 1),),
    )


def _promise(ahead: Outlook) -> str:
    if ahead.shrinks:
        return f"A run that goes twice as far would lower the loss by roughly {number(ahead.gain)}."
    return "A run that goes further would lower the loss."


def _extrapolated(ahead: Outlook, loss: float) -> str:
    if not ahead.shrinks:
        return "Its falls do not shrink yet, so where it would end cannot be said."
    return (
        f"Extrapolated by the rate at which its falls shrink: about {number(loss - ahead.gain)} after twice the way "
        f"({percent(ahead.share)} less). Where it was tried, the loss fell by 0.7 to 4 times the estimate."
    )


def _main_reason(new: dict[str, object]) -> str:
    if "lr" in new:
        return "The learning rate is too small"
    return "There were too few steps" if "batch-size" in new else "Training had not converged"


def _how_to_go_on(run: Run) -> tuple[dict[str, object], str]:
    """The one change that gets further, and why this one: larger steps, more of them, or more epochs."""
    total = run.last_step(run.epochs - 1) + 1
    batch = run.batch_size
    ratio = first_update(run)
    faster = better_rate(run, larger=True)
    dropout = run.settings.get("dropout", 0.0)
    if dropout >= 0.5 and run.valid.accuracy[-1] - run.train.accuracy[-1] > 0.1:
        return {"dropout": round(dropout / 2, 2)}, (
            f"In training, dropout hides {percent(dropout)} of the units, and far fewer pictures are right than "
            "without "
            "it: it slows learning more than it helps."
        )
    if batch and batch >= LARGE_BATCH and total < FEW_STEPS:
        smaller = max(SMALLEST_BATCH, 2 ** int(math.log2(batch * total / FEW_STEPS)) if total < FEW_STEPS else batch)
        return {"batch-size": min(smaller, batch // 2)}, (
            f"The whole run had {total} steps, since each took {batch} pictures: a smaller batch gives more steps for "
            "the same pictures."
        )
    if math.isfinite(ratio) and ratio < TIMID * FIRST_UPDATE and faster:
        return faster, "The steps are timid for a fresh layer: a larger learning rate gets there without more epochs."
    planned = int(run.settings.get("epochs", run.epochs))
    return (
        {"epochs": 2 * planned} if run.settings else {}
    ), "The steps are of a healthy size, so more of them are needed."


def _one_epoch(run: Run) -> Insight:
    losses = run.losses.values
    half = len(losses) // 2
    falling = half >= 5 and losses[:half].mean() - losses[half:].mean() > statistics.Z95 * math.hypot(
        statistics.standard_error(losses[:half]), statistics.standard_error(losses[half:])
    )
    return Insight(
        topic="not-converged",
        title="One epoch cannot show whether training converged.",
        explanation="Overfitting, convergence and the best epoch show only where several epochs can be compared.",
        evidence=(
            f"The training loss went from {number(float(losses[0]))} to "
            f"{number(float(losses[-max(1, len(losses) // 10) :].mean()))} "
            f"in {plural(len(losses), 'step')}" + (" and was still falling in the second half." if falling else "."),
        ),
        confidence="high",
        next_step="Set epochs=10, the default." if run.settings else "Train for several epochs.",
        severity="hint",
        hyperparameters={"epochs": 10} if run.settings else {},
        steps=(run.last_step(0),),
    )


def _idle(run: Run) -> Insight | None:
    """Epochs that brought nothing, where the loss has not turned either (that is overtraining)."""
    # Label smoothing trains another loss than the recorded one, which then tells nothing about when to stop.
    if run.best is None or run.epochs < 5 or run.settings.get("label-smoothing"):
        return None
    losses = run.valid.loss[run.judged]
    enough = _enough(run)
    wasted = run.epochs - 1 - enough
    cosine = run.settings.get("scheduler") == "cosine"
    saved = wasted if cosine else wasted - PATIENCE  # what patience waits for is not saved
    if saved < max(3, WASTE * run.epochs) or losses[-1] > 1.02 * losses.min():
        return None
    spent = run.epoch_seconds * wasted
    fewer = math.ceil(MARGIN * epochs_of_same_way(run, enough))
    if cosine and fewer > (1 - WASTE) * run.epochs:
        return None
    new: dict[str, object] = {"epochs": fewer} if cosine else {"patience": PATIENCE}
    new = new if run.settings else {}
    return Insight(
        topic="too-many-epochs",
        title=f"The last {wasted} of {run.epochs} epochs brought nothing.",
        explanation=f"From epoch {enough + 1} on the validation loss stayed within {percent(AS_GOOD)} of its best."
        + (
            " A cosine of so few epochs goes as far, with some to spare, and ends with the same small steps."
            if cosine and new
            else ""
        ),
        evidence=(
            (
                f"Validation loss {number(float(run.valid.loss[enough]))} after epoch {enough + 1}, best "
                f"{number(float(losses.min()))} after epoch {run.best + 1}, {number(float(losses[-1]))} at the end."
            ),
            *([f"These epochs took {seconds(spent)}."] if math.isfinite(spent) else []),
        ),
        confidence="high" if run.valid_size and run.valid_size >= 100 else "medium",
        next_step=f"Set {change(run.settings, new)}." if new else "Stop earlier.",
        severity="info",
        hyperparameters=new,
        steps=(run.last_step(enough),),
    )
