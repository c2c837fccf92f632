"""A learning rate that is too large or too small, that changed in mid-run, or whose schedule ends too early."""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.layout import GRADIENT_KEPT
from training_scripts.rules.causes.cause import NOTHING_LEARNED, Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence import curves, learning_rate
from training_scripts.rules.evidence.learning_rate import FIRST_UPDATE, TYPICAL_UPDATE, blow_up, first_update

TINY_UPDATE = 1e-5
"""A hundredth of the usual update: a run of usual length cannot get far with it."""
DECAYED = 0.01
"""A learning rate below this share of its highest value has fallen to nothing."""
EARLY, FEW_LARGE = 0.7, 8
"""The share of a run before which a schedule ends too early; and a number of large steps that cannot be enough."""
LEFT = 0.3
"""A loss above this share of the chance-level loss had further to fall."""


def find_schedule(signs: Signs) -> Cause | None:
    """A learning rate that fell to nothing while the loss was still falling."""
    seen, rates, run = signs.seen, signs.rates, signs.run
    if seen is None or run is None or len(seen.values) < 30:
        return None
    source = "learning rate"
    if rates is None:
        rates, source = signs.total("updates"), "size of the updates"
    if rates is None or len(rates) < 8 or not np.isfinite(rates.values).all():
        return None
    # The very first update is often several times as large as all others, whatever the learning rate is.
    peak = float(rates.values.max() if signs.rates is not None else np.quantile(rates.values, 0.9))
    small = rates.values <= DECAYED * peak
    place = len(small) - int(np.argmin(small[::-1])) if not small.all() else 0
    if not peak > 0 or not small[-1] or place >= len(small):
        return None
    since = int(rates.steps[place])
    share = (since - seen.steps[0]) / max(1, seen.steps[-1] - seen.steps[0])
    if share > EARLY or not _gradients_remain(signs, since):
        return None
    before, after = seen.values[seen.steps < since], seen.values[seen.steps >= since]
    scale = seen.chance if seen.chance is not None else abs(seen.initial.mean)
    if not len(before) or len(after) < 10 or curves.level(after).mean < LEFT * scale or signs.answers_right:
        return None
    # Whether the loss was falling while the steps were still large.
    until = rates.steps[rates.values > 10 * DECAYED * peak][-1]
    large = seen.values[seen.steps <= until]
    still = float(large[: len(large) // 2].mean() - large[len(large) // 2 :].mean()) if len(large) > 1 else 0.0
    quarter = max(2, len(before) // 4)
    if len(large) >= FEW_LARGE and still < 0.01 * scale:
        return None
    return Cause(
        id="schedule-decays-too-early",
        title=f"The schedule ends too early: after {100 * share:.0f}% of the run (step {since}), the {source} is "
        "below 1% of its highest value, and the loss stops falling.",
        explanation="The loss was still falling and gradients still arrived when the steps became too small to follow "
        "them; the rest of the run was wasted.",
        evidence=(
            (
                f"The {source} fell from {number_text(peak, 3)} to {number_text(float(rates.values[-1]), 3)}. The loss "
                f"was {number_text(float(before[-quarter:].mean()), 3)} by then and {number_text(seen.final.mean, 3)} "
                "at the end."
            ),
        ),
        advice=(
            "Stretch the schedule over the whole run: its length must be the number of steps if it is stepped per "
            "batch, and of epochs if it is stepped per epoch. Keep the initial learning rate."
        ),
        steps=(since,),
    )


def _gradients_remain(signs: Signs, since: int) -> bool:
    """Whether the gradients kept their size when the steps became small; True if unknown."""
    gradients = signs.total("gradients")
    if gradients is None or not len(gradients):
        return True
    before, after = gradients.values[gradients.steps < since], gradients.values[gradients.steps >= since]
    return not len(before) or not len(after) or bool(np.median(after) > 0.1 * np.median(before))


def find_too_high(signs: Signs) -> Cause | None:
    """Steps that overshot: a loss that leaped up, or updates that replace weights in a run that does not learn."""
    run, seen = signs.run, signs.seen
    if run is None or seen is None:
        return None
    usual, first = signs.usual_update, first_update(signs.evidence)
    risen = blow_up(run)
    finding = signs.issues.get("LossNotDecreasing")
    large = math.isfinite(usual) and usual > 30 * TYPICAL_UPDATE
    evidence = []
    if risen and (finding is not None or "WeightUpdateRatio" in signs.issues):
        against = f"guessing gives {number_text(run.chance, 3)}" if run.chance else "it began lower"
        evidence.append(f"The training loss rose to {number_text(risen[1], 3)} around step {risen[0]}; {against}.")
    if large and finding is not None:
        evidence.append(f"{finding.findings[0].message}")
    if "WeightUpdateRatio" in signs.issues and math.isfinite(first) and first > 1:
        evidence.append(signs.issues["WeightUpdateRatio"].findings[0].message)
    if not evidence:
        return None
    # Without updates, a rise may have other causes; with usual ones, the learning rate is not the cause.
    if math.isfinite(usual) and usual < TYPICAL_UPDATE / 3 and not first > 3 * FIRST_UPDATE:
        return None
    return Cause(
        id="learning-rate-too-high",
        title="The learning rate is too large: its steps overshot"
        + (", and the loss never recovered." if signs.hardly_learned else "."),
        explanation="Each step moved the weights past the minimum, so they grew. Large weights give confident "
        "predictions even if these are wrong, which increases the loss.",
        evidence=tuple(evidence),
        advice=f"{learning_rate.lower(signs.evidence)}.",
        topic="learning-rate-too-large",
        confidence="high" if len(evidence) > 1 or large else "medium",
        alternatives=_or_old_gradients(signs),
        steps=(risen[0],) if risen else (),
    )


def find_rise(signs: Signs) -> Cause | None:
    """A loss that fell and rose again, with steps of a usual size: something changed in mid-run."""
    finding = signs.issues.get("LossNotDecreasing")
    if finding is None or "lowest" not in finding.findings[0].numbers:
        return None
    step = finding.findings[0].steps[0]
    return Cause(
        id="learning-rate-too-high",
        alternatives=("wrong-sign", "shuffled-labels"),
        confidence="low",
        title=f"The loss fell, and rises again from about step {step} on: something changed there.",
        explanation="A learning rate that was raised, a loss or step with the wrong sign, and labels that no longer "
        "match their inputs all look like this.",
        evidence=(finding.findings[0].message,),
        advice=(
            f"Look at what your loop changes around step {step}. If it is the learning rate, keep the earlier one. If "
            "it is the data, look at a batch with its labels. If answers become worse than guesses, a sign is wrong."
        ),
        topic=NOTHING_LEARNED,
        steps=(step,),
    )


def _or_old_gradients(signs: Signs) -> tuple[str, ...]:
    """Gradients that were not cleared leave nearly the same trace: they grow, and the loss swings slowly."""
    if signs.scalar(GRADIENT_KEPT) is not None or signs.seen is None:
        return ()
    gradients = signs.total("gradients")
    if gradients is None or len(gradients) < 5 or not gradients.values[0] > 0:
        return ()
    slow = curves.lag_one(np.diff(signs.seen.values)) > -0.3
    grown = float(np.median(gradients.values[len(gradients) // 2 :])) > 5 * float(gradients.values[0])
    return ("gradients-accumulate",) if grown and slow else ()


def find_too_low(signs: Signs) -> Cause | None:
    """Steps that are far too small to get anywhere."""
    seen, usual = signs.seen, signs.usual_update
    if seen is None or not math.isfinite(usual) or not signs.hardly_learned:
        return None
    first = first_update(signs.evidence)
    if usual >= TINY_UPDATE or (math.isfinite(first) and first > FIRST_UPDATE / 10):
        return None
    gradients = signs.gradients
    if gradients is None or not float(np.median(gradients.sizes.max(axis=0))) > 1e-7:
        return None
    rate = signs.rates
    known = f" (lr {number_text(float(np.nanmax(rate.values)), 3)})" if rate is not None else ""
    return Cause(
        id="learning-rate-too-low",
        title=f"The learning rate is too small{known}: the steps are too short to get anywhere.",
        explanation="Gradients of a usual size arrive at all layers, but each step hardly changes the weights.",
        evidence=(
            *signs.usual_update_sentence,
            f"The loss went from {number_text(seen.initial.mean, 3)} to {number_text(seen.final.mean, 3)}.",
        ),
        advice="Raise lr, by about three times per trial, until a step changes weights by about 0.001 of their norm.",
        topic=NOTHING_LEARNED,
        steps=(int(seen.steps[0]),),
    )
