"""How much each searched hyperparameter mattered: Optuna's importances, where there are enough trials to say so."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dogbreed_sdk._util import optional
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report.evidence import SIGNIFICANT, chance, judged
from dogbreed_sdk.jobs.tuning_report.facts import SearchFacts, category_of
from dogbreed_sdk.local.tuning.search_space import Range, Value

# PED-ANOVA looks at what the best trials have in common; Optuna asks for five of them.
BEST_SHARE = 0.25
MIN_TRIALS = 20
# Among fewer trials per hyperparameter, some value looks good by chance.
TRIALS_PER_PARAMETER = 5


@dataclass(frozen=True)
class Importance:
    """What mattered.

    Attributes:
        shares: Hyperparameter -> share of the importance, 0 to 1, largest first; empty without enough trials.
        chances: Hyperparameter -> how often chance alone shows as strong a dependence.
        reason: Why there are no shares; empty with them.
        trials: Number of trials that they were computed from.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    chances: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    trials: int = 0

    def is_certain(self, name: str) -> bool:
        """Whether a hyperparameter mattered by more than chance would show."""
        return self.chances.get(name, 1.0) <= SIGNIFICANT


def importance(facts: SearchFacts, trials: Sequence[Trial]) -> Importance:
    """The importances of a search's hyperparameters.

    PED-ANOVA (Watanabe et al. 2023) compares the best quarter of the trials with all of them; it suits searches that
    try promising values more often, and needs no further package.
    """
    usable = judged(facts, trials)
    chances = (
        {entry.name: chance(entry, usable, maximize=facts.maximize) for entry in facts.ranges}
        if len(usable) > 2
        else {}
    )
    needed = max(MIN_TRIALS, TRIALS_PER_PARAMETER * len(facts.ranges))
    if len(facts.ranges) < 2:
        return Importance({}, chances, "Only one hyperparameter was searched.", len(usable))
    if len(usable) < needed:
        reason = (
            f"Too few trials to say what mattered: {len(usable)} with an objective, and {len(facts.ranges)} "
            f"hyperparameters need {needed}."
        )
        return Importance({}, chances, reason, len(usable))
    if optional.missing({"local": ["optuna"]}):
        reason = f"Importances need Optuna: {optional.install_command('local')}"
        return Importance({}, chances, reason, len(usable))
    return Importance(_shares(facts, usable), chances, "", len(usable))


def _shares(facts: SearchFacts, trials: Sequence[Trial]) -> dict[str, float]:
    import optuna  # noqa: PLC0415 - half a second, and an extra
    from optuna.trial import create_trial  # noqa: PLC0415

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize" if facts.maximize else "minimize")
    finally:
        optuna.logging.set_verbosity(before)
    distributions = {entry.name: entry.distribution() for entry in facts.ranges}
    for trial in trials:
        values = {entry.name: _value(entry, trial.hyperparameters[entry.name]) for entry in facts.ranges}
        study.add_trial(create_trial(params=values, distributions=distributions, value=trial.objective))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is called experimental since version 3.6
        options: dict[str, Any] = {_quantile_option(): BEST_SHARE}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(**options)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _value(entry: Range, value: object) -> Value:
    """A value as the range's distribution has it."""
    category = category_of(entry, value)
    return entry.from_wire(str(value) if category is None else category)


def _quantile_option() -> str:
    """What the installed Optuna calls the share of the best trials: 4.0 has another word than 5.0."""
    from optuna.importance import PedAnovaImportanceEvaluator  # noqa: PLC0415

    options = inspect.signature(PedAnovaImportanceEvaluator).parameters
    return "target_quantile" if "target_quantile" in options else "baseline_quantile"
