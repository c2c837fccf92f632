"""The probability that a label is wrong, from out-of-fold predictions and the labels themselves.

The labels are taken as a mixture: with the probability 1 - e a label is drawn from the head's prediction, and with the
probability e it is any of the other classes. The temperature of the predictions and the share e of wrong labels are
those under which the labels are most likely, and the probability of a wrong label follows from Bayes' rule. A second,
small share of mistakes is between classes that look alike: for those, a picture must clearly be of another class.

With 0, 1, 5 and 20% of the labels of 8,400 photographs exchanged, e was estimated as 0.1, 1.1, 5 and 19%
(benchmarks/data_review.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_TEMPERATURES = tuple(np.geomspace(0.05, 200.0, 13))
_REFINEMENTS = 3
_ROUNDS = 40
_BLOCK = 4096
_TINY = 1e-30
# Share of labels that are mistaken for a class that looks alike. It cannot be estimated: a head learns such mistakes.
# Of 0, 0.1, 0.3, 1 and 3%, this one loses 0.004 of the average precision for labels that are exchanged at random, and
# gains 0.14 for those that are exchanged with a class that looks alike (benchmarks/data_review.py).
ALIKE_SHARE = 0.003


@dataclass(frozen=True)
class LabelModel:
    """The fitted mixture.

    Attributes:
        temperature: What the logits are divided by.
        wrong_share: The share of labels that are wrong.
        log_likelihood: The mean logarithm of the labels' probabilities.
    """

    temperature: float
    wrong_share: float
    log_likelihood: float

    @classmethod
    def fit(cls, logits: Floats, targets: Integers) -> LabelModel:
        """Fits the mixture by maximum likelihood: temperature by temperature, the share by expectation maximization.

        Args:
            logits: [n, classes].
            targets: The labels [n].
        """
        tried = {value: cls._at(value, logits, targets) for value in _TEMPERATURES}
        step = _TEMPERATURES[1] / _TEMPERATURES[0]
        for _ in range(_REFINEMENTS):
            step = step**0.5
            best = max(tried, key=lambda value: tried[value].log_likelihood)
            for value in (best / step, best * step):
                tried[value] = cls._at(value, logits, targets)
        return max(tried.values(), key=lambda model: model.log_likelihood)

    @classmethod
    def _at(cls, temperature: float, logits: Floats, targets: Integers) -> LabelModel:
        own = own_probability(logits, targets, temperature).astype(np.float64)
        others = max(logits.shape[1] - 1, 1)
        share = 0.02
        for _ in range(_ROUNDS):
            right, wrong = (1 - share) * own, share * (1 - own) / others
            share = float(np.clip((wrong / (right + wrong + _TINY)).mean(), 1e-6, 0.95))
        likelihood = float(np.log((1 - share) * own + share * (1 - own) / others + _TINY).mean())
        return cls(float(temperature), share, likelihood)

    def probability_wrong(
        self, logits: Floats, targets: Integers, *, alike_share: float = ALIKE_SHARE
    ) -> NDArray[np.float64]:
        """The probability that each label is wrong [n].

        Args:
            logits: [n, classes].
            targets: The labels [n].
            alike_share: Share of labels that are mistaken for a class that looks alike: if the picture is of the class
                k, for the class j with the probability p(j) / (1 - p(k)).
        """
        found = np.empty(len(targets))
        for start in range(0, len(targets), _BLOCK):
            labels = targets[start : start + _BLOCK]
            rows = np.arange(len(labels))
            others = probabilities(logits[start : start + _BLOCK], self.temperature).astype(np.float64)
            own = others[rows, labels]
            others[rows, labels] = 0
            odds = (others / np.maximum(1 - others, 1e-6)).sum(1)
            right = max(1 - self.wrong_share - alike_share, 0) * own
            wrong = self.wrong_share * (1 - own) / max(logits.shape[1] - 1, 1) + alike_share * own * odds
            found[start : start + _BLOCK] = wrong / (right + wrong + _TINY)
        return found


def probabilities(logits: Floats, temperature: float) -> Floats:
    """Softmax of the logits [n, classes] at a temperature."""
    scaled: Floats = logits / np.float32(temperature)
    scaled -= scaled.max(1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= np.sum(scaled, axis=1, keepdims=True)
    return scaled


def own_probability(logits: Floats, targets: Integers, temperature: float) -> Floats:
    """The predicted probability of each label [n]; in blocks, as all probabilities may take as much as the features."""
    return np.concatenate(
        [
            probabilities(block := logits[start : start + _BLOCK], temperature)[
                np.arange(len(block)), targets[start : start + _BLOCK]
            ]
            for start in range(0, len(logits), _BLOCK)
        ]
    )
