"""Overfitting: a validation loss that turned upward."""

from __future__ import annotations

import math

from dogbreed_sdk._util.formatting import change, interval, number, percent, seconds
from dogbreed_sdk.debugging.insights.convergence import epochs_of_same_way, patience_for
from dogbreed_sdk.debugging.insights.insight import Confidence, Insight, Severity
from dogbreed_sdk.debugging.insights.overfit_rule import validation_turned
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.overfitting import trends_upward
from training_scripts.rules.evidence.run import KEEPS_BEST, LOST, Run

# A rise below 2% of the loss is not worth reporting, however certain it is.
WORTH_A_WORD = 0.02
# A rise by this share of the chance-level loss costs accuracy. It is half of the limit in the rule Overfit.
FELT = 0.05
SURE = 0.05
MEMORIZED_WORDS = (
    "From then on the network memorized the training pictures instead of learning what they have in common: the "
    "training loss kept falling while the validation loss rose. "
)
WANDERED_WORDS = (
    "Meanwhile the training loss did not fall, so the network did not memorize pictures. Its weights drifted "
    "away, as happens with steps that are too large. "
)
WITHIN_ERROR_WORDS = (
    " A few validation pictures account for much of the rise, so its size is uncertain; that it continued from epoch "
    "to epoch is not."
)


def find(run: Run) -> list[Insight]:
    """Reports a validation loss that turned upward."""
    found = _turned(run)
    return [found] if found else []


def _turned(run: Run) -> Insight | None:
    best = run.best
    if best is None or best == run.validated[-1]:
        return None
    last = int(run.validated[-1])
    excess = run.excess(last, best)
    lowest = float(run.valid.loss[best])
    # The best epoch was selected from all epochs: the more there are, the stronger the evidence must be (Bonferroni).
    chance = min(1.0, statistics.two_sided(excess.score) * max(1, len(run.validated) - 1))
    material = excess.mean >= WORTH_A_WORD * lowest > 0
    turned = validation_turned(run) or _lost(run, best, last)
    if not material or not (turned or (chance <= SURE and trends_upward(run, best))):
        return None
    share = excess.mean / lowest
    wasted = last - best
    new = _earlier_end(run, best)
    memorized = _training_fell(run, best, last)
    severity = _severity(run, excess.mean, turned=turned)
    confidence: Confidence = "high" if chance < 0.001 and "picture" in excess.source else "medium"
    return Insight(
        topic="overfitting",
        title=f"{'Overtraining: the' if memorized else 'The'} validation loss turned after epoch {best + 1} and then "
        f"rose by {percent(share)}.",
        explanation=(MEMORIZED_WORDS if memorized else WANDERED_WORDS)
        + _harm(run, wasted)
        + ("" if chance <= SURE or excess.score == 0 else WITHIN_ERROR_WORDS),
        evidence=_evidence_of_turn(run, best, last),
        confidence=confidence,
        next_step=(
            f"Set {change(run.settings, new)}." if new else f"End training after about {counted(best + 1, 'epoch')}."
        ),
        severity=severity,
        hyperparameters=new,
        steps=(run.last_step(best),),
        cause="overfitting" if severity == "problem" else "",
    )


def _training_fell(run: Run, best: int, last: int) -> bool:
    """Whether the training loss fell meanwhile; if its standard error is known, by more than that."""
    error = math.hypot(run.train.error[best], run.train.error[last])
    fall = float(run.train.loss[best] - run.train.loss[last])
    return fall > (Z95 * error if math.isfinite(error) else 0.0)


def _lost(run: Run, best: int, last: int) -> bool:
    """Whether the validation loss rose steadily by a large share of the chance-level loss while training improved.

    With few validation pictures, some of them dominate the rise, and its error is so wide that no test of single
    pictures calls it certain. Its course is evidence too: chance alone does not raise it epoch after epoch.
    """
    rise = float(run.valid.loss[last] - run.valid.loss[best])
    return rise >= LOST * run.scale > 0 and trends_upward(run, best) and _training_fell(run, best, last)


def _severity(run: Run, rise: float, *, turned: bool) -> Severity:
    """A problem if the turn is large, as for the rule Overfit, and the model is that of the last epoch.

    In healthy runs, a loss near zero rises by a large share of itself, and hardly any prediction changes.
    """
    if turned:
        return "hint" if run.keeps_best else "problem"
    return "hint" if rise >= FELT * run.scale else "info"


def _harm(run: Run, wasted: int) -> str:
    if not run.keeps_best:
        return "The model is worse for it, unless the weights of the best epoch were kept."
    spent = run.epoch_seconds * wasted
    cost = f" ({seconds(spent)})" if math.isfinite(spent) else ""
    return f"This cost time{cost}, not accuracy: {KEEPS_BEST}."


def _earlier_end(run: Run, best: int) -> dict[str, object]:
    """Fewer epochs for a cosine schedule, which should run to its end; otherwise patience."""
    if not run.settings:
        return {}
    if not run.words.is_ours:
        return {"epochs": best + 1} if "epochs" in run.settings else {}
    if run.settings.get("scheduler", "cosine") == "cosine":
        fewer = max(2, epochs_of_same_way(run, best))  # the small steps at the end reduce the loss further
        if fewer < int(run.settings.get("epochs", run.epochs)):
            return {"epochs": fewer}
    return {"patience": patience_for(run, best)}


def _evidence_of_turn(run: Run, best: int, last: int) -> tuple[str, ...]:
    excess = run.excess(last, best)
    found = [
        (
            f"Validation loss {number(float(run.valid.loss[best]))} after epoch {best + 1}, "
            f"{number(float(run.valid.loss[last]))} after epoch {last + 1}: "
            f"{interval(excess.mean, Z95 * excess.error)} more "
            f"({excess.source})."
        ),
        (
            f"Meanwhile the training loss went from {number(float(run.train.loss[best]))} to "
            f"{number(float(run.train.loss[last]))}."
        ),
    ]
    then, now = float(run.valid.accuracy[best]), float(run.valid.accuracy[last])
    if math.isfinite(then) and math.isfinite(now):
        found.append(
            f"Validation accuracy went from {percent(then)} to {percent(now)}{_significance(run, best, last)}."
        )
    return tuple(found)


def _significance(run: Run, one: int, other: int) -> str:
    """Whether the accuracy changed by more than chance, as the end of a sentence; empty if answers are unknown."""
    first, second = run.answers(one), run.answers(other)
    if first is None or second is None or len(first[0]) != len(second[0]):
        return ""
    before, after = first[0] == first[1], second[0] == second[1]
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    if statistics.two_sided(_mcnemar(lost, gained)) < 0.05:
        return ", beyond chance"
    return ", which is not significant: predictions became overconfident rather than wrong"


def _mcnemar(lost: int, gained: int) -> float:
    """Score of McNemar's test (1947) for two shares of the same pictures."""
    return (lost - gained) / math.sqrt(lost + gained) if lost + gained else 0.0
