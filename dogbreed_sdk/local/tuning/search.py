"""Proposes hyperparameters for trials, and prunes running ones by Hyperband: Optuna behind SageMaker's strategies."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.tuning.search_space import Range, read_ranges

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from types_boto3_sagemaker.type_defs import HyperParameterTuningJobConfigUnionTypeDef, ParameterRangesUnionTypeDef

    Configuration = HyperParameterTuningJobConfigUnionTypeDef


_DEFAULT_SEED = 0
# After this many proposals in a row that repeat earlier ones, untried values are proposed in order.
_ATTEMPTS = 10
# Optuna starts with 10 random trials; a search of 6 or 12 would have little or nothing else.
_MAXIMUM_RANDOM_STARTS = 10
_RANDOM_SHARE = 3
_HYPERBAND_REDUCTION = 3  # Li et al. 2018, Hyperband, section 2.2


class Search(Protocol):
    """A search strategy; trials are identified by the numbers that `propose` and `resume` return."""

    def propose(self) -> tuple[int, dict[str, str]] | None:
        """The next trial's number, and its hyperparameters in wire form; None where there are no more."""

    def resume(self, tuned: Mapping[str, str]) -> int:
        """Register a trial that an earlier process proposed; returns its number."""

    def learn(self, hyperparameters: Mapping[str, str], value: float, *, repeats: bool) -> None:
        """Note a training job of a parent tuning job.

        Args:
            hyperparameters: Those of its hyperparameters that are searched now, in wire form.
            value: Its objective value.
            repeats: Whether these hyperparameters would only give the same result again.
        """

    def should_stop(self, number: int, values: Sequence[float]) -> bool:
        """Whether the strategy prunes a running trial that has these objective values, one per epoch.

        The other way to stop a trial, TrainingJobEarlyStoppingType Auto, is in `early_stopping`.
        """

    def tell(self, number: int, value: float | None, *, stopped_early: bool) -> None:
        """Note a trial's outcome; None for a trial without an objective value."""


def create_search(configuration: Configuration, ranges: ParameterRangesUnionTypeDef, objective_type: str) -> Search:
    """The search of a tuning job.

    Args:
        configuration: HyperParameterTuningJobConfig.
        ranges: The ParameterRanges that apply.
        objective_type: Maximize or Minimize.

    Raises:
        ConfigurationError: The ranges or the strategy are not valid.
    """
    space = read_ranges(ranges)
    if configuration["Strategy"] == "Grid":
        return GridSearch(space)
    return OptunaSearch(space, configuration, objective_type)


class GridSearch:
    """Every combination of categorical values once; the values of the last range change fastest.

    Optuna's grid sampler does not recognize a trial that another process proposed.
    """

    def __init__(self, space: Sequence[Range]) -> None:
        if any(entry.kind != "categorical" for entry in space):
            raise ConfigurationError("The Grid strategy takes categorical ranges only.")
        names = [entry.name for entry in space]
        values = itertools.product(*(entry.values for entry in space))
        self._combinations = [dict(zip(names, combination, strict=True)) for combination in values]
        self._proposed: set[int] = set()

    def propose(self) -> tuple[int, dict[str, str]] | None:
        """The first combination that no trial has."""
        for number, combination in enumerate(self._combinations):
            if number not in self._proposed:
                self._proposed.add(number)
                return number, combination
        return None

    def resume(self, tuned: Mapping[str, str]) -> int:
        """The combination's number."""
        number = self._combinations.index(dict(tuned))
        self._proposed.add(number)
        return number

    def learn(self, hyperparameters: Mapping[str, str], value: float, *, repeats: bool) -> None:
        """Nothing: a grid is searched completely, whatever is known."""

    def should_stop(self, number: int, values: Sequence[float]) -> bool:  # noqa: ARG002
        """Never: a grid is searched completely."""
        return False

    def tell(self, number: int, value: float | None, *, stopped_early: bool) -> None:
        """A grid does not depend on outcomes."""


class OptunaSearch:
    """Bayesian (TPE), Random and Hyperband search.

    Args:
        space: The ranges.
        configuration: HyperParameterTuningJobConfig.
        objective_type: Maximize or Minimize.
    """

    def __init__(self, space: Sequence[Range], configuration: Configuration, objective_type: str) -> None:
        import optuna  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {entry.name: entry for entry in space}
        self._distributions = {entry.name: entry.distribution() for entry in space}
        self._study = optuna.create_study(
            study_name="search",  # Hyperband's brackets follow from it; a given one makes them repeatable
            direction="maximize" if objective_type == "Maximize" else "minimize",
            sampler=_sampler(configuration),
            pruner=_pruner(configuration),
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._epochs: dict[int, int] = {}
        self._proposed: set[tuple[str, ...]] = set()

    def propose(self) -> tuple[int, dict[str, str]] | None:
        """A trial that differs from all before; None where every combination of values has had one."""
        for _ in range(_ATTEMPTS):
            found = self._unless_proposed(self._ask())
            if found is not None:
                return found
        for values in itertools.product(*(entry.choices() for entry in self._space.values())):
            if tuple(map(str, values)) not in self._proposed:
                self._study.enqueue_trial(dict(zip(self._space, values, strict=True)))
                return self._unless_proposed(self._ask())
        return None

    def resume(self, tuned: Mapping[str, str]) -> int:
        """A trial with given hyperparameters."""
        self._proposed.add(tuple(tuned[name] for name in self._space))
        self._study.enqueue_trial({name: entry.from_wire(tuned[name]) for name, entry in self._space.items()})
        return int(self._ask().number)

    def learn(self, hyperparameters: Mapping[str, str], value: float, *, repeats: bool) -> None:
        """Add a finished trial with those hyperparameters whose values are in the ranges of this search."""
        from optuna.trial import create_trial  # noqa: PLC0415

        known = {
            name: entry.from_wire(hyperparameters[name])
            for name, entry in self._space.items()
            if name in hyperparameters and entry.contains(hyperparameters[name])
        }
        if not known:
            return
        distributions = {name: self._distributions[name] for name in known}
        self._study.add_trial(create_trial(params=known, distributions=distributions, value=value))
        if repeats and len(known) == len(self._space):
            self._proposed.add(tuple(hyperparameters[name] for name in self._space))

    def should_stop(self, number: int, values: Sequence[float]) -> bool:
        """Whether Hyperband prunes the trial after its last epoch; other strategies let every trial finish."""
        trial = self._trials[number]
        for epoch in range(self._epochs.get(number, 0), len(values)):
            trial.report(values[epoch], epoch + 1)
        self._epochs[number] = len(values)
        return bool(values) and bool(trial.should_prune())

    def tell(self, number: int, value: float | None, *, stopped_early: bool) -> None:
        """Pass an outcome to Optuna."""
        from optuna.trial import TrialState  # noqa: PLC0415

        trial = self._trials.pop(number)
        if value is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif stopped_early and self._epochs.get(number):
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, value)

    def _unless_proposed(self, trial: optuna.Trial) -> tuple[int, dict[str, str]] | None:
        """The trial as a proposal; None, with the trial withdrawn, where an earlier one has the same values."""
        tuned = {name: entry.to_wire(trial.params[name]) for name, entry in self._space.items()}
        values = tuple(tuned.values())
        if values in self._proposed:
            self.tell(trial.number, None, stopped_early=False)
            return None
        self._proposed.add(values)
        return trial.number, tuned

    def _ask(self) -> optuna.Trial:
        trial = self._study.ask(self._distributions)
        self._trials[trial.number] = trial
        return trial


def _sampler(configuration: Configuration) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler  # noqa: PLC0415

    seed = configuration.get("RandomSeed", _DEFAULT_SEED)
    # Hyperband's paper samples at random; its gain comes from stopping trials early.
    if configuration["Strategy"] in ("Random", "Hyperband"):
        return RandomSampler(seed=seed)
    jobs = configuration["ResourceLimits"].get("MaxNumberOfTrainingJobs", _MAXIMUM_RANDOM_STARTS)
    with _no_warnings():
        # constant_liar counts running trials as bad ones, so that parallel proposals differ.
        return TPESampler(seed=seed, constant_liar=True, n_startup_trials=random_starts(jobs))


def random_starts(jobs: int) -> int:
    """How many random trials a Bayesian search begins with: a third of its jobs, 2 to 10."""
    return max(2, min(_MAXIMUM_RANDOM_STARTS, jobs // _RANDOM_SHARE))


def _pruner(configuration: Configuration) -> BasePruner:
    from optuna.pruners import HyperbandPruner, NopPruner  # noqa: PLC0415

    if configuration["Strategy"] != "Hyperband":
        return NopPruner()
    strategy = configuration.get("StrategyConfig") or {}
    limits = strategy.get("HyperbandStrategyConfig") or {}
    with _no_warnings():
        return HyperbandPruner(
            min_resource=limits.get("MinResource", 1),
            max_resource=limits.get("MaxResource", "auto"),
            reduction_factor=_HYPERBAND_REDUCTION,
        )


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silence Optuna's warnings: it calls features experimental that it has had for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
