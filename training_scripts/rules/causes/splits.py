"""Faults of the data and their splits: other preprocessing or classes in validation, wrong labels, training mode."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text, percent_text
from training_scripts._util.wilson import wilson
from training_scripts.recording.trial.layout import INPUT_MEAN, INPUT_STD
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.rules.causes.cause import NOTHING_LEARNED, Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence.learning_rate import TYPICAL_UPDATE, first_update

LEARNED = 0.7
"""A training loss below this share of the chance-level loss: the training data were learned, or memorized."""
HARDLY_LEARNED, LONG = 0.9, 6
"""A loss below this share of the chance-level loss has begun to fall, at least after this many epochs."""
NO_BETTER = 0.97
"""A validation loss above this share of the chance-level loss is no better than guessing."""
HALF = 0.5
BAD = 0.9
"""A validation loss above this share of the chance-level loss: nothing of that helps with the validation data."""
FAR_WORSE = 2.0
"""The validation loss is this many times the training loss from the first epochs on."""
SHIFTED, SPREAD = 0.25, 1.3
"""Inputs differ if their means do by a quarter of their spread, or their spreads by 30%. Random batches and
augmentation stay far below."""
NEW_SAMPLES = 0.95
"""In the first epoch every sample is new: a loss below this share of chance there is not memorized."""
MAPPED = 0.5
AS_RIGHT = 0.2
"""With the exchange undone, validation is as good as training, but for a usual gap."""
FEW_OF_CLASS = 4
FEW_SAMPLES = 60
"""Fewer training samples are memorized even with right labels, before anything general is learned; fewer validation
samples hardly show whether anything was."""
UNCERTAIN = 0.15
"""The share of the way from guessing to all answers right that the validation accuracy may have come, by its interval:
noisy labels and few samples bring it no further than that."""


def find_training_mode(signs: Signs) -> Cause | None:
    """An evaluation with dropout, or with the statistics of single batches."""
    run = signs.run
    if run is None or signs.evidence.run.get("evaluated_in_training_mode") is not True or not len(run.validated):
        return None
    trained, validated = run.train.loss[run.validated], run.valid.loss[run.validated]
    worse = float(np.median(validated - trained)) > 0.1 * float(np.median(np.abs(trained)))
    return Cause(
        id="evaluation-in-training-mode",
        title="The network is evaluated in training mode: dropout and batch normalization are still active.",
        explanation=(
            "Batch normalization then uses the statistics of the evaluated batch, which are useless for few samples, "
            "and learns from validation data; dropout hides units. Validation is worse, and noisier, than the model is."
        ),
        evidence=(
            "The network was in training mode at an evaluation, and has dropout or batch normalization.",
            (
                f"The last losses: training {number_text(float(trained[-1]), 3)}, validation "
                f"{number_text(float(validated[-1]), 3)}."
            ),
        ),
        advice="Call model.eval() before validation and model.train() before the next epoch; wrap it in "
        "torch.no_grad().",
        severity="problem" if worse else "hint",
        steps=tuple(run.last_step(int(epoch)) for epoch in run.validated[:5]),
    )


def find_other_classes(signs: Signs) -> Cause | None:
    """Validation pictures of each class that are predicted as one other class."""
    run = signs.run
    if run is None or not run.epochs or signs.chance is None or not float(run.train.loss[-1]) < LEARNED * signs.chance:
        return None
    shown = run.answers(run.epochs - 1)
    if shown is None:
        return None
    if _inputs_differ(signs):
        return None  # inputs of another kind may also be taken for other classes
    labels, answers = shown
    goes = _mapping(labels, answers)
    wrong = {label: answer for label, answer in goes.items() if label != answer}
    if len(goes) < 2 or len(wrong) < max(2, 0.6 * len(goes)) or len(set(wrong.values())) < 0.8 * len(wrong):
        return None
    names = run.class_names
    pairs = [f"{_named(names, label)} as {_named(names, answer)}" for label, answer in list(wrong.items())[:4]]
    exchanged = np.array([goes.get(label, label) for label in labels.tolist()])
    trained = signs.accuracy[0]
    if math.isfinite(trained) and float((exchanged == answers).mean()) < trained - AS_RIGHT:
        return None
    apart = {(answer - label) % max(2, int(labels.max()) + 1) for label, answer in wrong.items()}
    by = f" Every index is shifted by {apart.copy().pop()}." if len(apart) == 1 else ""
    right = float((labels == answers).mean())
    return Cause(
        id="labels-shifted",
        title="The validation labels are exchanged: each class is predicted as one other class.",
        explanation=f"The network tells the classes apart, but the two splits number them differently.{by}",
        evidence=(
            (
                f"Of the validation samples, {percent_text(right)} are right, far fewer than guesses; most of "
                f"{', '.join(pairs)}."
            ),
            (
                f"The training loss is {number_text(float(run.train.loss[-1]), 3)}; guessing gives "
                f"{number_text(signs.chance, 3)}."
            ),
        ),
        advice="Give both splits the same classes in the same order (class_to_idx), and check for an index that is "
        "shifted by one. The learning rate is not the cause.",
        alternatives=() if len(apart) == 1 else ("validation-preprocessing",),
        confidence="high" if len(apart) == 1 else "medium",
        steps=(run.last_step(run.epochs - 1),),
    )


def _mapping(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> dict[int, int]:
    """The class that most samples of a class are predicted as, for classes of which most are predicted alike."""
    found = {}
    for label in np.unique(labels).tolist():
        counts = np.bincount(answers[labels == label])
        if counts.sum() >= FEW_OF_CLASS and counts.max() > MAPPED * counts.sum():
            found[label] = int(counts.argmax())
    return found


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else str(index)


def find_mismatch(signs: Signs) -> Cause | None:
    """Validation that is bad from the start although the training data are learned."""
    run, chance = signs.run, signs.chance
    if run is None or len(run.validated) < 2 or not run.epochs:
        return None
    trained = float(run.train.loss[-1])
    start = chance if chance is not None else float(run.losses.values[0])
    if "ClassImbalance" in signs.issues:
        return None  # the loss of rare classes is high, however well the others are learned
    learned = trained < LEARNED * start
    if not trained < HARDLY_LEARNED * start or not (learned or run.epochs >= LONG):
        return None
    differ = _inputs_differ(signs)
    valid = run.valid.loss[run.validated]
    useless = float(valid.min()) > (BAD if learned else NO_BETTER) * start
    early = run.validated[: max(1, len(run.validated) // 3)]
    worse = bool((run.valid.loss[early] > FAR_WORSE * run.train.loss[early]).all())
    if learned and differ and (useless or worse or (float(valid[-1]) > FAR_WORSE * trained and _accuracy_gap(signs))):
        return _preprocessing(signs, differ)
    if signs.better_than_guessing:
        return None  # what was learned holds for the validation data too, so their labels and inputs fit
    mostly_wrong = not signs.valid_accuracy(run.epochs - 1) > HALF
    if learned and worse and float(valid.min()) > HALF * start and mostly_wrong and _accuracy_gap(signs):
        return _other_split(signs) if _learned_new_samples(signs, start) else None
    if not useless:
        return None
    new = _learned_new_samples(signs, start)
    if new is not True and _undecided(signs):
        return _too_few(signs)
    if new is False:
        return _memorized(signs, sure=signs.scalar(INPUT_MEAN, EVAL) is not None)
    if new is True:
        return _other_split(signs)
    return _either(signs)


def _accuracy_gap(signs: Signs) -> bool:
    trained, validated = signs.accuracy
    return not (math.isfinite(trained) and math.isfinite(validated)) or trained - validated > 0.15


def _undecided(signs: Signs) -> bool:
    """Whether there are too few samples to tell useless validation from a little that was learned."""
    run = signs.run
    assert run is not None
    size, right, majority = run.valid_size or 0, signs.valid_accuracies, signs.majority
    if any(0 < count < FEW_SAMPLES for count in (run.class_counts.sum(), size)):
        return True
    if not (len(right) and size and math.isfinite(majority)):
        return False
    return wilson(float(right.mean()) * size, size)[1] > majority + UNCERTAIN * (1 - majority)


def _inputs_differ(signs: Signs) -> tuple[str, ...]:
    """A sentence on inputs whose mean or spread differs between training and validation; empty if they agree."""
    found = {}
    for name in (INPUT_MEAN, INPUT_STD):
        for mode in (TRAIN, EVAL):
            series = signs.scalar(name, mode)
            if series is None or not np.isfinite(series.values).all() or not len(series):
                return ()
            found[name, mode] = float(np.median(series.values))
    spread = max(found[INPUT_STD, TRAIN], 1e-12)
    apart = abs(found[INPUT_MEAN, EVAL] - found[INPUT_MEAN, TRAIN]) / spread
    ratio = found[INPUT_STD, EVAL] / spread
    if apart < SHIFTED and 1 / SPREAD < ratio < SPREAD:
        return ()
    return (
        (
            f"Training inputs have a mean of {number_text(found[INPUT_MEAN, TRAIN], 3)} and a standard deviation of "
            f"{number_text(found[INPUT_STD, TRAIN], 3)}; validation inputs, {number_text(found[INPUT_MEAN, EVAL], 3)} "
            f"and {number_text(found[INPUT_STD, EVAL], 3)}."
        ),
    )


def _losses(signs: Signs) -> str:
    run = signs.run
    assert run is not None
    first = int(run.validated[0])
    guess = f"; guessing gives {number_text(signs.chance, 3)}" if signs.chance else ""
    return (
        f"The training loss fell to {number_text(float(run.train.loss[-1]), 3)}, while the validation loss was "
        f"{number_text(float(run.valid.loss[first]), 3)} in epoch {first + 1} and "
        f"{number_text(float(run.valid.loss[run.validated[-1]]), 3)} in the last{guess}."
    )


def _preprocessing(signs: Signs, differ: tuple[str, ...]) -> Cause:
    run = signs.run
    assert run is not None
    return Cause(
        id="validation-preprocessing",
        title="Validation data are preprocessed differently from training data: their inputs have another mean or "
        "spread.",
        explanation="The network is evaluated on inputs of a kind that it has never seen, so validation is bad from "
        "the first epoch on, while training goes well.",
        evidence=(*differ, _losses(signs)),
        advice="Apply the same preprocessing (scaling, mean and standard deviation, size, order of channels) to both "
        "splits; only random augmentation may differ. Training itself needs no change.",
        steps=(run.last_step(int(run.validated[0])),),
    )


def _learned_new_samples(signs: Signs, start: float) -> bool | None:
    """Whether samples were better than chance when they were new; None if the first epoch is too short to show it."""
    run, seen = signs.run, signs.seen
    assert run is not None
    if seen is None or run.epochs < 2 or 0 < run.class_counts.sum() < FEW_SAMPLES:
        return None
    first = run.losses.values[np.isin(run.losses.steps, run.train_steps[0])]
    if len(first) < 4:
        return None
    end = float(first[-max(2, len(first) // 4) :].mean())
    if end < NEW_SAMPLES * start:
        return True
    # The next epoch shows the same samples again: a fall at once is memory.
    later = float(run.train.loss[min(run.epochs - 1, max(1, run.epochs // 3))])
    return False if later < NEW_SAMPLES * start or run.epochs >= 6 else None


def _memorized(signs: Signs, *, sure: bool) -> Cause:
    run = signs.run
    assert run is not None
    return Cause(
        id="shuffled-labels",
        alternatives=() if sure else ("validation-preprocessing",),
        title="The training labels do not match their inputs: they are memorized sample by sample.",
        explanation=(
            "In the first epoch, where every sample is new, the loss stayed at that of guessing; it fell only when the "
            "same samples came again. What is learned this way says nothing about others, so validation stays at "
            "chance."
        ),
        evidence=(
            f"The mean training loss of the first epoch is {number_text(float(run.train.loss[0]), 3)}.",
            _losses(signs),
        ),
        advice="Check the labels of some training samples by eye: are inputs and labels shuffled separately, or joined "
        "by the wrong key or order? The learning rate is not the cause.",
        confidence="high" if sure else "medium",
        topic=NOTHING_LEARNED,
        steps=(run.last_step(0),),
    )


def _too_few(signs: Signs) -> Cause:
    """Memorized samples that are too few to show whether their labels are right."""
    run = signs.run
    assert run is not None
    sure = signs.scalar(INPUT_MEAN, EVAL) is not None
    right, size, evidence = signs.valid_accuracies, run.valid_size, [_losses(signs)]
    if len(right) and size and math.isfinite(signs.majority):
        mean = float(right.mean())
        low, high = wilson(mean * size, size)
        evidence.append(
            f"On average over the epochs, {percent_text(mean)} of the {size:,} validation samples are right (95% "
            f"interval {percent_text(low)} to {percent_text(high)}); always guessing the most frequent class gives "
            f"{percent_text(signs.majority)}."
        )
    return Cause(
        id="overfitting",
        alternatives=("shuffled-labels", *(() if sure else ("validation-preprocessing",))),
        confidence="medium",
        title="The training samples are memorized, and there are too few samples to show whether anything general was "
        "learned.",
        explanation="A network memorizes few samples whether their labels are right or wrong. With noisy labels, or "
        "many features for the number of samples, validation stays near guessing even if all is right.",
        evidence=tuple(evidence),
        advice=(
            "Check the labels of some training samples by eye, and whether inputs and labels are joined by the right "
            "key and order. If they are right, the model overfits: collect more samples, use a smaller network, weight "
            "decay or fewer epochs. More validation samples also tell both apart: with wrong labels, accuracy stays "
            "at that of guessing."
        ),
        steps=(run.last_step(int(run.validated[0])),),
    )


def _other_split(signs: Signs) -> Cause:
    run = signs.run
    assert run is not None
    same = signs.scalar(INPUT_MEAN, EVAL) is not None and not _inputs_differ(signs)
    first, second = "validation-preprocessing", "labels-shifted"
    if same:
        first, second = second, first
    memorized = _or_overfitting(signs)
    return Cause(
        id=first,
        alternatives=(second, "shuffled-labels", *memorized),
        confidence="medium",
        title="Training works, but validation does not fit it: another preprocessing, or other labels, in validation.",
        explanation=(
            "Training samples that were seen for the first time were better than guesses, so the training data are "
            "learnable. Validation is no better than guessing from the first epoch on."
            + (" Mean and spread of the inputs agree, so labels are likelier than preprocessing." if same else "")
        ),
        evidence=(_losses(signs),),
        advice=(
            "Evaluate some training samples through the validation pipeline: if they are wrong too, the preprocessing "
            "differs; if they are right, the validation labels or their order are wrong. Training itself needs no "
            "change."
            + (" If the labels are right, too, the model has only memorized its samples." if memorized else "")
        ),
        topic=NOTHING_LEARNED,
        steps=(run.last_step(int(run.validated[0])),),
    )


def _either(signs: Signs) -> Cause:
    run = signs.run
    assert run is not None
    return Cause(
        id="shuffled-labels",
        alternatives=("validation-preprocessing", "labels-shifted"),
        confidence="medium",
        title="The training data were learned, but nothing about the validation data: wrong labels, or another "
        "preprocessing in validation.",
        explanation="Either the training labels do not match (and were memorized), or validation differs from "
        "training.",
        evidence=(_losses(signs),),
        advice=(
            "Evaluate some training samples through the validation pipeline: if they are wrong, the preprocessing "
            "differs. If they are right, check the labels of both splits by eye. The learning rate is not the cause."
        ),
        topic=NOTHING_LEARNED,
        steps=(run.last_step(int(run.validated[0])),),
    )


def _or_overfitting(signs: Signs) -> tuple[str, ...]:
    """Whether Overfit alone does not tell memorized samples from wrong labels: of few, both leave the same trace."""
    run = signs.run
    few = run is not None and any(0 < size < FEW_SAMPLES for size in (run.class_counts.sum(), run.valid_size or 0))
    return ("overfitting",) if few and "Overfit" in signs.issues else ()


def _stays_at_chance(signs: Signs) -> bool:
    """Whether many epochs brought neither training nor validation below chance level."""
    run, chance = signs.run, signs.chance
    if run is None or chance is None or run.epochs < LONG or not len(run.validated):
        return False
    if signs.seen is None or signs.seen.falling or signs.answers_well:
        return False
    low = float(run.valid.loss[run.validated].min())
    return low > NO_BETTER * chance


def find_unlearnable(signs: Signs) -> Cause | None:
    """A loss that stays at chance although gradients and updates have a usual size."""
    seen, run = signs.seen, signs.run
    finding = signs.issues.get("LossNotDecreasing")
    if seen is None or run is None or seen.learned or seen.chance is None:
        return None
    if signs.better_than_guessing or (finding is None and not _stays_at_chance(signs)):
        return None  # dropout or augmentation can hide in the training loss what validation shows
    symptom = (
        finding.findings[0].message
        if finding is not None
        else f"The training loss ended at {number_text(seen.final.mean, 3)}; "
        f"guessing gives {number_text(seen.chance, 3)}."
    )
    usual, first = signs.usual_update, first_update(signs.evidence)
    if not 0.9 * seen.chance < seen.final.mean < 1.6 * seen.chance:
        return None
    if not math.isfinite(usual):
        return Cause(
            id="shuffled-labels",
            alternatives=("learning-rate-too-low", "learning-rate-too-high"),
            confidence="low",
            title="Nothing is learned: labels that do not match their inputs, or a learning rate that is far off.",
            explanation="The loss stays at that of guessing. How far weights moved was not recorded, which would show "
            "whether the steps have a healthy size.",
            evidence=(symptom,),
            advice=(
                "Try to overfit one batch of ten samples: if its loss falls to 0, labels do not match their inputs; if "
                "not, change lr by three times in both directions, and record weights to see the size of the updates."
            ),
            topic=NOTHING_LEARNED,
            steps=(int(seen.steps[0]),),
        )
    if not TYPICAL_UPDATE / 10 < usual < 30 * TYPICAL_UPDATE or first > 1:
        return None
    return Cause(
        id="shuffled-labels",
        confidence="medium",
        title="The weights move as they should, but nothing is learned: labels do not match their inputs.",
        explanation="Gradients arrive and each step has a usual size, so the loop works. There is nothing to be "
        "learned from these inputs about these labels.",
        evidence=(
            symptom,
            *signs.usual_update_sentence,
        ),
        advice="Check the labels of some samples by eye: are inputs and labels shuffled separately, or joined by the "
        "wrong key or order? Also look at the inputs after preprocessing. The learning rate is not the cause.",
        topic=NOTHING_LEARNED,
        steps=(int(seen.steps[0]),),
    )
