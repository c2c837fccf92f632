"""What a report on a search shows: its trials in order, what mattered, and what to search next.

Everything that draws a report (text, page, notebook) takes a `TuningContent`, which does not know how it is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report import evidence, importance, next_search
from dogbreed_sdk.jobs.tuning_report.facts import SearchFacts, read_facts
from dogbreed_sdk.jobs.tuning_report.ranking import best_first, best_so_far, by_end, has_objective

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeHyperParameterTuningJobResponseTypeDef
    from typing_extensions import Self


class TuningContent:
    """The content of a report on one search, as it was when its trials were listed.

    Attributes:
        facts: The search's settings and ranges.
        trials: All trials, in the order in which they were created.
        ranked: The trials, best first; those without an objective last.
    """

    def __init__(self, facts: SearchFacts, trials: Sequence[Trial]) -> None:
        self.facts = facts
        self.trials = tuple(trials)
        self.ranked = tuple(best_first(trials, maximize=facts.maximize))

    @classmethod
    def of(
        cls,
        described: DescribeHyperParameterTuningJobResponseTypeDef,
        trials: Sequence[Trial],
        *,
        seconds: float | None = None,
    ) -> Self:
        """The report on a search that SageMaker describes.

        Args:
            described: DescribeHyperParameterTuningJob's response.
            trials: All trials, in the order in which they were created.
            seconds: Wall time of the search.
        """
        facts = read_facts(described, trials, seconds=seconds)
        with_value = [trial for trial in best_first(trials, maximize=facts.maximize) if has_objective(trial)]
        if with_value and with_value[0].definition:
            facts = read_facts(described, trials, definition=with_value[0].definition, seconds=seconds)
        return cls(facts, trials)

    @property
    def source(self) -> str:
        """The tuning job's name."""
        return self.facts.name

    @property
    def is_running(self) -> bool:
        """Whether the search had not ended."""
        return self.facts.status not in FINAL_STATUSES

    @property
    def best(self) -> Trial | None:
        """The trial with the best objective; None without any."""
        return next((trial for trial in self.ranked if has_objective(trial)), None)

    @property
    def compared(self) -> tuple[Trial, ...]:
        """The trials that share the best trial's ranges: all, unless the search has several definitions."""
        best = self.best
        return tuple(trial for trial in self.trials if best is None or trial.definition == best.definition)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of trials, most frequent first."""
        return dict(Counter(trial.status for trial in self.trials).most_common())

    @cached_property
    def importance(self) -> importance.Importance:
        """What mattered; without numbers, and with the reason, if there are too few trials."""
        return importance.importance(self.facts, self.compared)

    @cached_property
    def interactions(self) -> list[evidence.Interaction]:
        """Hyperparameters of which one's best value depends on the other; none without strong evidence."""
        return evidence.interactions(self.facts, evidence.judged(self.facts, self.compared))

    @cached_property
    def next_search(self) -> next_search.NextSearch:
        """What to search next."""
        return next_search.next_search(self.facts, self.compared, self.importance.chances)

    def improvements(self) -> list[tuple[int, Trial]]:
        """The trials that were the best when they ended, with their places in the order of the ends, from 1."""
        ended = by_end(self.trials)
        best = best_so_far(ended, maximize=self.facts.maximize)
        return [
            (number, trial)
            for number, (trial, now, before) in enumerate(zip(ended, best, [None, *best], strict=False), 1)
            if now != before
        ]
