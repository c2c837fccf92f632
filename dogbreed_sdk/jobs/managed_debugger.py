"""Debugger: the request for SageMaker's managed Debugger and Profiler, for accounts that still have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.suggestions import did_you_mean
from training_scripts.rules.managed import DEBUGGING_RULES, PROFILING_RULES

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.debugging import DebuggingMembers

RULES = DEBUGGING_RULES
PROFILER_REPORT = "ProfilerReport"
"""AWS's rule that evaluates all other profiling rules and writes a report."""

PROFILER_RULES = (PROFILER_REPORT, *PROFILING_RULES)

# CreateTrainingJob takes 20 of each list (API reference), and these intervals.
_MOST_RULES = 20
_INTERVALS_MS = (100, 200, 500, 1000, 5000, 60000)
# AWS does not document how it words the refusal; it has one of these codes and names what it refuses.
_REFUSALS = ("AccessDenied", "AccessDeniedException", "UnsupportedOperation", "ValidationException")
_ABOUT_DEBUGGER = re.compile(r"debug|profil|rule ?eval", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Debugger:
    """A request for the managed Debugger; make one with `Debugger.managed`.

    Attributes:
        rules: AWS's names of the debugging rules.
        profiler_rules: AWS's names of the profiling rules.
        rule_parameters: Rule -> parameter -> value in AWS's string form.
        train_save_interval: Steps between two recordings of tensors while training.
        eval_save_interval: The same while evaluating.
        system_monitor_interval_ms: Milliseconds between two samples of the machine's metrics.
        framework_steps: Steps of framework profiling; 0 for none.

    Examples:
        >>> debugger = Debugger.managed(rules=["vanishing_gradient", "Overfit"], train_save_interval=50)
        >>> debugger.rules, debugger.collections
        (('VanishingGradient', 'Overfit'), ('gradients', 'losses'))
        >>> trainer = BreedTrainer(Session.aws(), debugger=debugger)
    """

    rules: tuple[str, ...]
    profiler_rules: tuple[str, ...]
    rule_parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    train_save_interval: int
    eval_save_interval: int
    system_monitor_interval_ms: int
    framework_steps: int

    @classmethod
    def managed(
        cls,
        *,
        rules: Iterable[str] = defaults.DEBUGGER_RULES,
        profiler_rules: Iterable[str] = defaults.DEBUGGER_PROFILER_RULES,
        rule_parameters: Mapping[str, Mapping[str, object]] | None = None,
        train_save_interval: int = defaults.DEBUGGER_TRAIN_SAVE_INTERVAL,
        eval_save_interval: int = defaults.DEBUGGER_EVAL_SAVE_INTERVAL,
        system_monitor_interval_ms: int = defaults.DEBUGGER_SYSTEM_INTERVAL_MS,
        framework_steps: int = defaults.DEBUGGER_FRAMEWORK_STEPS,
    ) -> Debugger:
        """Enables SageMaker's managed Debugger for a trainer's training jobs.

        AWS closed it to new customers on 2026-07-30; other accounts do not need it, since the training script records
        tensors and evaluates rules itself. Managed rules run in AWS's containers, on separate instances.

        Args:
            rules: Debugging rules, as AWS writes them or in snake case.
            profiler_rules: Profiling rules likewise.
            rule_parameters: Rule -> AWS's parameter -> value, to replace AWS's defaults.
            train_save_interval: Steps between two recordings of tensors while training, from 1.
            eval_save_interval: The same while evaluating, from 1.
            system_monitor_interval_ms: 100, 200, 500, 1000, 5000 or 60000 milliseconds.
            framework_steps: Steps of framework profiling, if the image's framework still has it (PyTorch before 2.0);
                0 for none.

        Raises:
            ConfigurationError: A rule is unknown, or a number is out of its bounds.

        Examples:
            >>> Debugger.managed(rules=["vanishing_gradient", "Overfit"]).rules
            ('VanishingGradient', 'Overfit')
        """
        chosen = tuple(_named(rule, RULES, "debugging") for rule in rules)
        profiling = tuple(_named(rule, PROFILER_RULES, "profiling") for rule in profiler_rules)
        for names in (chosen, profiling):
            if len(set(names)) < len(names) or len(names) > _MOST_RULES:
                raise ConfigurationError(f"{', '.join(names)}: name each rule once, and at most {_MOST_RULES} rules.")
        if system_monitor_interval_ms not in _INTERVALS_MS:
            raise ConfigurationError(
                f"system_monitor_interval_ms is {system_monitor_interval_ms}; SageMaker accepts "
                f"{', '.join(str(interval) for interval in _INTERVALS_MS)}."
            )
        if min(train_save_interval, eval_save_interval) < 1 or framework_steps < 0:
            raise ConfigurationError("Save intervals must be at least 1 and framework_steps at least 0.")
        return cls(
            rules=chosen,
            profiler_rules=profiling,
            rule_parameters=_parameters(rule_parameters or {}, (*chosen, *profiling)),
            train_save_interval=train_save_interval,
            eval_save_interval=eval_save_interval,
            system_monitor_interval_ms=system_monitor_interval_ms,
            framework_steps=framework_steps,
        )

    @property
    def collections(self) -> tuple[str, ...]:
        """The tensor collections that its rules read."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in RULES[rule]))


def debugging_members(
    debugger: Debugger,
    job: str,
    *,
    output_uri: str,
    image_uri: str,
    region: str,
    progress: ProgressCallback,
) -> DebuggingMembers:
    """Members of a CreateTrainingJob request, beside those of the job itdebugger.

    Args:
        debugger: What is turned on.
        job: Name of the job, for progress.
        output_uri: SageMaker writes to ``<output_uri>/<job>/{debug-output,profiler-output,rule-output}``.
        image_uri: The training image, which decides whether framework profiling is possible.
        region: Region of the rules' container image.
        progress: Called with what the image does not support.

    Raises:
        ConfigurationError: AWS has no rule container in this region.
    """
    with optional.needed(extra="aws", purpose="use the Debugger"):
        from dogbreed_sdk.aws.requests import debugging  # noqa: PLC0415
    for note in debugging.notes(framework_steps=debugger.framework_steps, image_uri=image_uri):
        progress(JobProgress(job, "Starting", note, 0.0))
    return debugging.members(
        rules=debugger.rules,
        profiler_rules=debugger.profiler_rules,
        rule_parameters=debugger.rule_parameters,
        collections=debugger.collections,
        save_intervals={"train": debugger.train_save_interval, "eval": debugger.eval_save_interval},
        system_monitor_interval_ms=debugger.system_monitor_interval_ms,
        framework_steps=debugger.framework_steps,
        output_uri=output_uri,
        image_uri=image_uri,
        region=region,
    )


def by_kind(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits names of managed rules into debugging and profiling rules, each as AWS spells it.

    Raises:
        ConfigurationError: AWS does not have a rule of this name.

    >>> by_kind(["overfit", "cpu_bottleneck"])
    (('Overfit',), ('CPUBottleneck',))
    """
    chosen = [_named(name, (*RULES, *PROFILER_RULES), "managed") for name in names]
    return tuple(name for name in chosen if name in RULES), tuple(name for name in chosen if name not in RULES)


@contextmanager
def refusal_explained(asked: bool) -> Iterator[None]:
    """Turns an account's refusal of the Debugger inside the block into an error that explains the reason and remedy.

    Args:
        asked: Whether the request enables the Debugger or Profiler.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        refused = answer.get("Code") in _REFUSALS and _ABOUT_DEBUGGER.search(answer.get("Message", ""))
        if not asked or not refused:
            raise
        raise ConfigurationError(
            f"This account may not use SageMaker's Debugger or Profiler ({answer.get('Message')}). AWS closed Debugger "
            "to new customers on 2026-07-30 and ends Profiler on 2027-06-30. Omit debugger: the training script "
            "records and evaluates rules itself; read the result with 'dogbreed report JOB' or DebugReport.load(job).",
            request_id=error.response.get("ResponseMetadata", {}).get("RequestId"),
        ) from error


def _named(name: str, known: Iterable[str], kind: str) -> str:
    plain = {_plain(rule): rule for rule in known}
    if _plain(name) in plain:
        return plain[_plain(name)]
    hint = did_you_mean(name, plain.values()) or "."
    raise ConfigurationError(f"Unknown {kind} rule {name!r}{hint} AWS has: {', '.join(plain.values())}.")


def _plain(name: str) -> str:
    """The name without case, dashes, underscores and the suffix Rule, which AWS gives to one name only."""
    return name.replace("_", "").replace("-", "").lower().removesuffix("rule")


def _parameters(given: Mapping[str, Mapping[str, object]], chosen: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for rule, values in given.items():
        name = _named(rule, chosen, "chosen") if chosen else rule
        found[name] = {key: str(value) for key, value in values.items()}
    return found
