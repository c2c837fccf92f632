"""What not_a_dog.py measured, before it becomes figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rejection.measures import Estimate, auroc_estimate, share_estimate
from rejection.scores import SHIPPED, Score
from training_scripts.models.rejection import KEPT, Rejection
from training_scripts.training.answers import Evaluation, joined


@dataclass(frozen=True)
class Split:
    """A split as a head sees it: features [n, width], logits [n, classes], true classes [n]."""

    features: Tensor
    logits: Tensor
    targets: Tensor

    @classmethod
    def of(cls, evaluation: Evaluation) -> Split:
        """The split of an evaluation, while the head has the weights that were evaluated."""
        (features, targets), (logits, _) = joined(evaluation.features), joined(evaluation.logits())
        return cls(features, logits, targets)


@dataclass(frozen=True)
class Seen:
    """Features [n, width] of pictures, and the photograph each is from (crops share one)."""

    features: Tensor
    origins: tuple[str, ...]

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.origins)

    @property
    def photographs(self) -> int:
        """How many photographs."""
        return len(set(self.origins))


@dataclass(frozen=True)
class Run:
    """A trained head with what was fitted for it.

    Attributes:
        classes: Class folders in index order.
        head: Features -> logits.
        rule: What the training job would ship.
        temperature: Likewise.
        metrics: Likewise.
        scores: The candidates by name.
        valid: The valid split as the head sees it.
        test: The test split likewise.
    """

    classes: tuple[str, ...]
    head: nn.Module
    rule: Rejection
    temperature: float
    metrics: Mapping[str, float]
    scores: Mapping[str, Score]
    valid: Split
    test: Split

    def score(self, name: str, features: Tensor) -> Tensor:
        """A candidate's scores of pictures."""
        with torch.inference_mode():
            return self.scores[name](self.head(features), features)

    def threshold(self, name: str) -> float:
        """Above it a candidate rejects: the shipped rule's own, for others the same share of valid pictures."""
        if name == SHIPPED:
            return self.rule.threshold
        return float(self.score(name, self.valid.features).quantile(KEPT))

    def auroc(self, name: str, outside: Seen) -> Estimate:
        """The test split's pictures against others."""
        return auroc_estimate(self.score(name, self.test.features), self.score(name, outside.features), outside.origins)

    def rejected(self, name: str, seen: Seen) -> Estimate:
        """Share of pictures above the threshold."""
        return share_estimate(self.score(name, seen.features) > self.threshold(name), seen.origins)


@dataclass(frozen=True)
class Results:
    """All of it.

    Attributes:
        run: With every breed.
        groups: Pictures of none of the classes, by group.
        known_breeds: Dogs of another data set, of breeds that are classes.
        new_breeds: Dogs of that data set, of breeds that are none.
        fewer: The run without some breeds.
        left_out: Test pictures of those breeds.
        train: How many train photographs there are.
    """

    run: Run
    groups: Mapping[str, Seen]
    known_breeds: Seen
    new_breeds: Seen
    fewer: Run
    left_out: Seen
    train: int

    def all_groups(self) -> Seen:
        """Every picture of none of the classes."""
        parts = self.groups.values()
        return Seen(
            torch.cat([part.features for part in parts]), tuple(name for part in parts for name in part.origins)
        )
