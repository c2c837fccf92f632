"""What a report shows of one recorded run: read, evaluated and computed on first use, then kept.

Everything that draws a report (summary, HTML, notebook, plots, verdict) takes a `ReportContent`, which knows neither
how the run was found nor how it is drawn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dogbreed_sdk._util.formatting import clipped
from dogbreed_sdk.debugging.sources.layout import LOOKED_FOR, Parts, Recording, find
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, RecordingError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef
    from typing_extensions import Self

    from dogbreed_sdk.debugging.feature_pass import FeaturePassCost
    from dogbreed_sdk.debugging.insights import Insight
    from dogbreed_sdk.debugging.operators import OperatorCost
    from dogbreed_sdk.debugging.validation import Validation
    from dogbreed_sdk.jobs.managed_results import ManagedRule
    from training_scripts.recording.profile.profile import Profile
    from training_scripts.recording.trial.trial import Trial
    from training_scripts.rules.causes.cause import Cause
    from training_scripts.rules.evidence.evidence import Evidence
    from training_scripts.rules.evidence.learning_curves import Curve
    from training_scripts.rules.findings import RuleResult
    from training_scripts.rules.own_words import Words

Part = TypeVar("Part")

# A recording without an end, to which nothing was added for this long, is of a run that was killed.
SILENCE_SECONDS = 1800.0
# The results of a job's rules take kilobytes.
_MAX_RULES_BYTES = 16 * 2**20


class ReportContent:
    """The content of a report on one recorded run. What is read is kept: it shows the run as it was at that moment.

    Attributes:
        source: What the report is about: a job's name, a folder or a URI.
        parameters: Which rule parameters are in force: default or aws.
    """

    def __init__(
        self,
        source: str,
        *,
        trial: Trial | None = None,
        profile: Profile | None = None,
        parameters: str = "default",
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        rules: Sequence[str] | None = None,
        compare_with: Sequence[Trial | Recording] = (),
        recording: Recording | None = None,
    ) -> None:
        self.source = source
        self.parameters = parameters
        self._overrides = overrides
        self._only = rules
        self._others = compare_with
        self._recording = recording or Recording(source, Parts())
        self._unread: list[str] = []
        if trial is not None:
            self.__dict__["trial"] = trial
        if profile is not None:
            self.__dict__["profile"] = profile

    @classmethod
    def load_folders(cls, *, trial: Path | None = None, profile: Path | None = None) -> Self:
        """Loads a recording whose parts are in separate folders, as the managed Debugger's may be.

        Args:
            trial: The folder with the tensors.
            profile: The folder with system and framework.

        Raises:
            RecordingError: Neither folder contains a recording.
        """
        parts = Parts()
        for folder in (trial, profile):
            parts = parts.or_else(find(folder)) if folder is not None else parts
        named = " and ".join(str(folder) for folder in (trial, profile) if folder is not None)
        if not parts:
            raise RecordingError(f"{named} contain no recording. Looked in them and below for {LOOKED_FOR}.")
        return cls(named, recording=Recording(named, parts))

    @cached_property
    def trial(self) -> Trial | None:
        """The recorded tensors; None without any."""
        path = self._recording.parts.trial
        return None if path is None else self._read(path, _trial)

    @cached_property
    def evidence(self) -> Evidence | None:
        """The trial as rules and insights read it: what is read or computed once is cached."""
        from training_scripts.rules.evidence.evidence import Evidence  # noqa: PLC0415 - needs NumPy

        return None if self.trial is None else Evidence(self.trial)

    @cached_property
    def profile(self) -> Profile | None:
        """How the run used its time and machine; None without a profile."""
        parts = self._recording.parts
        path = parts.profile or parts.report
        return None if path is None else self._read(path, _profile)

    @cached_property
    def feature_pass(self) -> FeaturePassCost | None:
        """The cost of computing the features that the run used or the job computed; None if unknown."""
        from dogbreed_sdk.debugging.feature_pass import feature_pass_cost  # noqa: PLC0415 - needs NumPy

        if self.trial is not None:
            return feature_pass_cost(self.trial.run.get("feature_pass"))
        path = self._recording.parts.features
        return None if path is None else feature_pass_cost(self._json(path))

    def costliest_operators(self, limit: int = 3) -> list[OperatorCost]:
        """The operators that took the most time: the backbone's, of its feature pass or of training on pictures.

        They are profiled in long runs, and always with the hyperparameter profile-operators=on. Of a run on stored
        features whose pass was not profiled they are the head's; a run without any has none.

        Args:
            limit: Number of operators at most.

        Returns:
            Name, share of the time and advice of each, the most expensive first.
        """
        from dogbreed_sdk.debugging.operators import costliest  # noqa: PLC0415 - needs NumPy

        of_backbone = self.feature_pass.operators if self.feature_pass is not None else ()
        return costliest(of_backbone or (self.profile.operators if self.profile is not None else ()), limit)

    @cached_property
    def rules(self) -> list[RuleResult]:
        """The result of every rule. If one cause explains findings, they have its id, and advice that agrees with it.

        Raises:
            ConfigurationError: A rule, parameter or set of parameters does not exist.
        """
        from training_scripts.rules.causes.find import explained  # noqa: PLC0415 - needs NumPy

        results = self._evaluated(self.parameters, self._overrides)
        if self.evidence is None:
            return results
        return explained(results, self._cause(self._results_by_ours if self._shows_aws else results))

    @property
    def diagnostic(self) -> list[RuleResult]:
        """The results by which causes are found: with our parameters, since AWS's have many false alarms.

        Raises:
            ConfigurationError: A rule, parameter or set of parameters does not exist.
        """
        return self._results_by_ours if self._shows_aws else self.rules

    @property
    def _shows_aws(self) -> bool:
        return self.parameters == "aws" and self.trial is not None

    @cached_property
    def _results_by_ours(self) -> list[RuleResult]:
        return self._evaluated("default", None)  # overrides are of the set that is shown

    def _evaluated(self, parameters: str, overrides: Mapping[str, Mapping[str, Any]] | None) -> list[RuleResult]:
        from dogbreed_sdk.debugging.rule_results import evaluated  # noqa: PLC0415 - needs NumPy

        return evaluated(
            self.trial,
            self.profile,
            stored=self.stored,
            parameters=parameters,
            overrides=overrides,
            only=self._only,
            others=[trial for trial in map(self._other, self._others) if trial is not None],
            now=ended.timestamp() if (ended := self.job.get("TrainingEndTime")) is not None else None,
        )

    def _cause(self, results: Sequence[RuleResult]) -> Cause | None:
        """The cause of what is wrong with the run; None if it cannot be found, whatever an odd recording contains."""
        from training_scripts.rules.causes.find import find  # noqa: PLC0415 - needs NumPy

        evidence = self.evidence
        try:
            cause = None if evidence is None else find(evidence, results)
            if evidence is None or cause is None:
                return None
            return replace(cause, advice=self.words.put(cause.advice))
        except Exception as error:  # noqa: BLE001 - as with insights
            self._unread.append(f"The search for a cause failed: {type(error).__name__}: {str(error)[:200]}.")
            return None

    @cached_property
    def words(self) -> Words:
        """The words of the run, which may have no pictures or labels."""
        from training_scripts.rules import own_words  # noqa: PLC0415

        evidence = self.evidence
        return own_words.Words() if evidence is None else own_words.Words.of(evidence.run, evidence.recorded_names())

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """The recorded curves of loss and accuracy, by name."""
        from training_scripts.recording.trial.trial import despite_damage  # noqa: PLC0415
        from training_scripts.rules.evidence.learning_curves import curves  # noqa: PLC0415 - needs NumPy

        evidence = self.evidence
        return {} if evidence is None else despite_damage(lambda: curves(evidence))

    @cached_property
    def validation(self) -> Validation | None:
        """What the model made of the validation pictures; None for runs without classes or recorded answers."""
        from dogbreed_sdk.debugging.validation import validation  # noqa: PLC0415 - needs NumPy
        from training_scripts.recording.trial.trial import despite_damage  # noqa: PLC0415

        evidence = self.evidence
        return None if evidence is None else despite_damage(lambda: validation(evidence))

    @cached_property
    def validation_folder(self) -> Path | None:
        """The folder of the validation pictures: of the data set that was given, or of the job's channels on disk."""
        from dogbreed_sdk.debugging.sources.pictures import channel_folders, validation_folder  # noqa: PLC0415

        names = () if self.trial is None else self.trial.run.get("valid_names") or ()
        data = self._recording.data
        if data is not None:
            return validation_folder(names, [data])
        # The features of the pictures may have been computed by another job, which read them.
        jobs = (self.job, self._computing_job)
        return validation_folder(names, [folder for job in jobs for folder in channel_folders(job)])

    @property
    def _computing_job(self) -> Mapping[str, Any]:
        """DescribeTrainingJob's answer for the job that computed the features; empty if unknown or deleted."""
        name = None if self.feature_pass is None else self.feature_pass.job
        if not name or self._recording.describe is None:
            return {}
        try:
            return self._recording.describe(name)
        except DogBreedError:
            return {}

    def insights(self) -> list[Insight]:
        """Insights, most important first: each with its evidence, confidence and next step."""
        return list(self._insights)

    @property
    def problems(self) -> list[str]:
        """One sentence for each part that could not be read."""
        found = [*self._recording.problems]
        if self.recorded_by:
            found.append(
                f"{self.recorded_by} recorded this, not {self.source}: jobs that continue each other share their "
                "checkpoint folder, and the recording in it is of the last one."
            )
        for part in (self.trial, self.profile):
            found += part.problems if part is not None else ()
        return list(dict.fromkeys([*found, *self._unread]))

    @property
    def notes(self) -> list[str]:
        """Sentences on how the run was recorded, where its settings suggest otherwise."""
        from training_scripts.recording.trial import run_facts  # noqa: PLC0415 - needs NumPy
        from training_scripts.rules.evidence import epochs  # noqa: PLC0415 - needs NumPy

        if self.trial is None:
            return []
        found: list[str] = run_facts.notes(self.trial.run)
        if self.curves and self.evidence is not None:  # the curves were computed, and with them what they leave out
            found += epochs.notes(self.evidence)
        if self.trial.run.get("inputs") == "features" and self.feature_pass is None:
            found.append(
                "The features were computed earlier; the cost is unknown, because the feature pass was not recorded."
            )
        return found

    @property
    def is_running(self) -> bool:
        """Whether the run was still running: by its job's status, else by the time of the last recorded step."""
        if self.job:
            return self._recording.is_running
        if self.trial is None or self.trial.ended:
            return False
        times = [float(table.times[-1]) for mode in ("TRAIN", "EVAL") if len((table := self.trial.steps(mode)).times)]
        return not times or not time.time() - max(times) > SILENCE_SECONDS  # unknown times are NaN: it may be running

    @property
    def status(self) -> str:
        """The job's TrainingJobStatus; for a recording without a job Running, Ended, or Unknown."""
        if self.job:
            return clipped(self.job.get("TrainingJobStatus", "Unknown"), 40)
        if self.trial is None:
            return "Unknown"
        return "Ended" if self.trial.ended else "Running" if self.is_running else "Unknown"

    @property
    def recorded_steps(self) -> int:
        """Number of steps recorded so far, of all modes."""
        if self.trial is None:
            return 0
        return sum(len(self.trial.steps(mode).steps) for mode in ("TRAIN", "EVAL", "PREDICT", "GLOBAL"))

    @property
    def recorded_by(self) -> str:
        """The job that made the recording, if it is a different one; else empty."""
        name = self.trial.run.get("job") if self.trial is not None and self.job else None
        return clipped(name, 200) if isinstance(name, str) and name not in ("", self.source) else ""

    @property
    def has_no_end(self) -> bool:
        """Whether the recording is incomplete although its run has ended: it was killed, or could no longer record."""
        if self.trial is None or self.trial.ended or self.is_running:
            return False
        return bool(self.job.get("TrainingJobStatus") not in ("Completed", "Failed"))

    @property
    def job(self) -> Mapping[str, Any]:
        """DescribeTrainingJob's answer where the source is a job; empty otherwise."""
        return self._recording.job

    @property
    def managed_rules(self) -> list[ManagedRule]:
        """What the managed Debugger's own rules say of the job; empty where none were asked for."""
        from dogbreed_sdk.jobs.managed_results import managed_rules  # noqa: PLC0415

        return managed_rules(cast("DescribeTrainingJobResponseTypeDef", self.job))

    @cached_property
    def stored(self) -> Mapping[str, object]:
        """The results that the job's own rules wrote while it ran (rules.json); empty without any."""
        path = self._recording.parts.rules
        return {} if path is None else self._json(path)

    def _json(self, path: Path) -> Mapping[str, object]:
        """Reads a JSON object of the recording; empty, and a problem, if it cannot be read."""
        try:
            if path.stat().st_size > _MAX_RULES_BYTES:
                raise ValueError("it is too large")
            content = json.loads(path.read_text(encoding="utf-8"), parse_int=_bounded)
        except (OSError, ValueError, RecursionError) as error:
            self._unread.append(f"{path} cannot be read: {error}.")
            return {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def _insights(self) -> list[Insight]:
        from dogbreed_sdk.debugging.insights import insights  # noqa: PLC0415

        return insights(self.evidence, self.profile, self.diagnostic, problems=self._unread)

    def _read(self, path: Path, reader: Callable[[Path], Part]) -> Part | None:
        """Reads a part of the recording; a failure is noted as a problem, or raised if there is no other part."""
        from training_scripts import ScriptError  # noqa: PLC0415

        try:
            return reader(path)
        except (ScriptError, OSError) as error:
            parts = self._recording.parts
            if sum(part is not None for part in (parts.trial, parts.profile, parts.report, parts.rules)) == 1:
                raise RecordingError(f"{self.source} cannot be read: {error}") from error
            self._unread.append(str(error))
            return None

    def _other(self, other: Trial | Recording) -> Trial | None:
        if not isinstance(other, Recording):
            return other
        if other.parts.trial is None:
            raise ConfigurationError(f"{other.source} contains no tensors to compare with.")
        return self._read(other.parts.trial, _trial)


def _bounded(digits: str) -> int | float:
    """A JSON integer; one too large for int64 becomes a float, possibly infinite."""
    # 2**63 has 19 digits.
    return int(digits) if len(digits) < 19 else float(digits)


def _trial(path: Path) -> Trial:
    from training_scripts.recording.trial.file_trial import FileTrial  # noqa: PLC0415 - needs NumPy

    return FileTrial(path)


def _profile(path: Path) -> Profile:
    from training_scripts.recording.profile.reader import read_profile  # noqa: PLC0415 - needs NumPy

    return read_profile(path)
