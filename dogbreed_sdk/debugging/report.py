"""DebugReport: a recorded run with its rule results and insights, in a terminal, a notebook, or one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util.formatting import plain, whole
from dogbreed_sdk.debugging.content import ReportContent
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dogbreed_sdk.debugging.comparison.comparison import Comparison
    from dogbreed_sdk.debugging.step_times import StepTimes
    from dogbreed_sdk.jobs.training_job import TrainingJob
    from dogbreed_sdk.session import Session
    from training_scripts.recording.profile.profile import Profile, Statistics

MAX_OPERATORS = 50


class DebugReport(ReportContent):
    """What a training run recorded, what went wrong, why, and what to do. Create one with `load`.

    Everything is read on first use and then kept: a report is a snapshot. Load it again to follow a running job.

    Args:
        source: What the report is about: a job's name, a folder or a URI.
        trial: The recorded tensors.
        profile: How the run used its time and machine.
        parameters: As in `load`.
        overrides: As in `load`.
        rules: As in `load`.
        compare_with: Trials or recordings of other runs, for the rule SimilarAcrossRuns.
        recording: All that `load` found of the run, instead of trial and profile.

    Attributes:
        source: As passed.

    Examples:
        >>> report = DebugReport.load(job)
        >>> report.headline()
        '...rule found a problem...'
        >>> [result.name for result in report.rules if result.status == "IssuesFound"]
        []
        >>> report.to_html("report.html").name
        'report.html'
    """

    @classmethod
    def load(
        cls,
        source: TrainingJob | str | Path,
        *,
        session: Session | None = None,
        parameters: str = "default",
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        rules: Sequence[str] | None = None,
        compare_with: Sequence[TrainingJob | str | Path] = (),
        data: str | Path | None = None,
    ) -> DebugReport:
        """Loads the report on a recorded run: ours, smdebug's or the managed Debugger's; finished or running.

        Args:
            source: A `TrainingJob`; the name of one; a folder (the trial itself, or one with debug-output,
                profiler-output or rule-output in it, or with the JSON files of AWS's profiler report); an s3:// or
                file:// URI of such a folder. A folder takes precedence over a job of the same name.
            session: The job's session, which also reads S3. Default: `Session.default()`; for S3, AWS.
            parameters: default (ours, with few false alarms) or aws (AWS's exact definitions).
            overrides: Rule -> parameter -> value; takes precedence over both sets.
            rules: Names of the rules to evaluate. Default: all.
            compare_with: Other runs, for the rule SimilarAcrossRuns; specified like the source.
            data: The data set's folder on this machine, whose validation pictures the page shows. Default: the one
                that the job read, if it is on this machine.

        Raises:
            RecordingError: The run does not exist, or recorded nothing; the message says why.
            ConfigurationError: A rule, parameter or set of parameters does not exist (raised when rules are first
                evaluated).
        """
        from dogbreed_sdk.debugging.sources.locate import locate  # noqa: PLC0415 - only runs that must be found need it

        folder = None if data is None else _folder(data)
        recording = replace(locate(source, session), data=folder)
        return cls(
            recording.source,
            parameters=parameters,
            overrides=overrides,
            rules=rules,
            compare_with=[locate(other, session) for other in compare_with],
            recording=recording,
        )

    @classmethod
    def compare(
        cls,
        sources: Sequence[DebugReport | TrainingJob | str | Path],
        *,
        session: Session | None = None,
        parameters: str = "default",
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        rules: Sequence[str] | None = None,
    ) -> Comparison:
        """Compares recorded runs: curves, results against parameters, rules, and which change did what.

        Args:
            sources: Two or more runs, each as in `load`, or reports that are loaded already.
            session: As in `load`.
            parameters: As in `load`.
            overrides: As in `load`.
            rules: As in `load`.

        Returns:
            A comparison with `to_text()`, `to_html(path)` and `to_dict()`; in a notebook it shows itself.

        Raises:
            RecordingError: A run does not exist, or recorded nothing.
            ConfigurationError: There are fewer than two runs, or as in `load`.
        """
        from dogbreed_sdk.debugging.comparison.comparison import Comparison  # noqa: PLC0415 - needs NumPy

        return Comparison(
            [
                source
                if isinstance(source, DebugReport)
                else cls.load(source, session=session, parameters=parameters, overrides=overrides, rules=rules)
                for source in sources
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON.

        Returns:
            source; status (the job's, else Running, Ended or Unknown); verdict (level, headline, and cause and
            alternatives: the id of the cause, empty if unknown, and those of other possible causes); rules, whose lists
            of steps are shortened to the first ones and the last, `steps_in_all` being their number; managed_rules
            (name, kind, status, details of SageMaker Debugger's own); insights;
            profile; feature_pass (what computing the features cost, or None); notes (how it was recorded); problems.
        """
        from dogbreed_sdk.debugging.rule_results import rule_document  # noqa: PLC0415 - needs NumPy
        from dogbreed_sdk.debugging.verdict import verdict  # noqa: PLC0415

        judged = verdict(self)
        return {
            "source": whole(self.source),
            "status": self.status,
            "verdict": {
                "level": judged.level,
                "headline": whole(judged.headline),
                "cause": judged.cause,
                "alternatives": list(judged.alternatives),
            },
            "rules": [rule_document(result) for result in self.rules],
            "managed_rules": [plain(rule.to_dict()) for rule in self.managed_rules],
            "insights": [plain(insight.to_dict()) for insight in self.insights()],
            "profile": None if self.profile is None else _profile_document(self.profile),
            "feature_pass": None if self.feature_pass is None else self.feature_pass.to_dict(),
            "notes": plain(self.notes),
            "problems": plain(self.problems),
        }

    def to_html(self, path: str | Path) -> Path:
        """Writes the report as one HTML file of less than 2 MB that needs no network, whatever the run's length.

        Args:
            path: The file, or a folder for ``report.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.debugging.html.document import document  # noqa: PLC0415
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        return write_page(document(self), path, name="report.html")

    def save_numbers(self, path: str | Path) -> Path:
        """Writes every recorded number to a file: losses, learning rates, statistics of weights and gradients, ...

        CSV has the columns tensor, statistic, mode, step and value, one row per number. JSON is a list with an object
        per tensor, statistic and mode, which has the lists ``steps`` and ``values``.

        Args:
            path: A file that ends in .csv or .json.

        Returns:
            The path of the file written.

        Raises:
            ConfigurationError: The file's name ends otherwise.
            RecordingError: The recording contains no tensors.
        """
        from dogbreed_sdk.debugging.numbers import write  # noqa: PLC0415 - needs NumPy

        return write(self, Path(path).expanduser())

    def to_text(self, *, width: int = 100) -> str:
        """The report as text for a terminal.

        Args:
            width: Characters per line.
        """
        from dogbreed_sdk.debugging.summary import summary  # noqa: PLC0415

        return summary(self, width=width)

    def headline(self) -> str:
        """The verdict and the key numbers in one line."""
        from dogbreed_sdk.debugging.summary import headline  # noqa: PLC0415

        return headline(self)

    def plot_losses(self) -> Axes:
        """Plots training and validation loss over the steps with matplotlib (extra: plots).

        Raises:
            RecordingError: No loss was recorded.
            ConfigurationError: matplotlib is not installed.
        """
        from dogbreed_sdk.debugging.plots import losses  # noqa: PLC0415

        return losses(self)

    def plot_fluctuations(self) -> Axes:
        """Plots how much of the training loss's fluctuation comes from drawing random batches (extra: plots).

        A band around the smoothed loss shows where random batches alone would put 95% of the steps. Its width is known
        from how far apart the losses of single pictures are.

        Raises:
            RecordingError: The recording does not show it: it has another loss than cross-entropy, fewer than 40 steps,
                or no losses of single pictures.
            ConfigurationError: matplotlib is not installed.
        """
        from dogbreed_sdk.debugging.plots import fluctuations  # noqa: PLC0415

        return fluctuations(self)

    def plot_tensor(self, name: str, *, kind: str | None = None, mode: str | None = None) -> Axes:
        """Plots a tensor over the steps with matplotlib (extra: plots).

        Args:
            name: One of ``trial.tensor_names()``.
            kind: The reduction: mean, abs_mean, l2, min, max, std, ... Default: the mean, with the range from the
                smallest to the largest element if known.
            mode: TRAIN, EVAL, ... Default: the first in which it was recorded.

        Raises:
            RecordingError: The tensor, or this reduction of it, was not recorded.
            ConfigurationError: matplotlib is not installed.
        """
        from dogbreed_sdk.debugging.plots import tensor  # noqa: PLC0415

        return tensor(self, name, kind=kind, mode=mode)

    def step_times(self) -> list[StepTimes]:
        """Where the time of the steps went: inside them, between them, and in outliers.

        Returns:
            One `StepTimes` per kind of step (training, evaluation, feature-pass), the kind that took longest first;
            each prints as one line. Empty without a profile.
        """
        from dogbreed_sdk.debugging.step_times import step_times  # noqa: PLC0415 - needs NumPy

        return [] if self.profile is None else step_times(self.profile)

    def plot_steps(self) -> Axes:
        """Plots how long each step took, with a mark on each outlier, with matplotlib (extra: plots).

        Raises:
            RecordingError: The job was not profiled.
            ConfigurationError: matplotlib is not installed.
        """
        from dogbreed_sdk.debugging.plots import steps  # noqa: PLC0415

        return steps(self)

    def plot_utilization(self) -> Axes:
        """Plots CPU, GPU, memory and I/O wait over time in percent with matplotlib (extra: plots).

        Raises:
            RecordingError: The machine was not sampled.
            ConfigurationError: matplotlib is not installed.
        """
        from dogbreed_sdk.debugging.plots import utilization  # noqa: PLC0415

        return utilization(self)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"DebugReport({self.source!r})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.debugging.html.notebook import fragment  # noqa: PLC0415

        return fragment(self)


def _folder(data: str | Path) -> Path:
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(f"The data set {folder} is not a directory on this machine.")
    return folder


def _profile_document(profile: Profile) -> dict[str, Any]:
    """A profile without its samples; numbers that are not finite become None.

    Returns:
        source, nodes, facts; timeline (seconds since 1970, and how long each of the job's parts took); usage, steps
        and phases (a list of what, node, max, p99, p95, p50, min, mean, count, total each, and of durations histogram
        and edges); operators, the most expensive first; operators_note; problems.
    """
    from training_scripts.recording.profile.summary import seconds_of  # noqa: PLC0415 - needs NumPy

    content = {
        "source": profile.source,
        "nodes": profile.nodes,
        "facts": profile.facts,
        "timeline": {**asdict(profile.timeline), **seconds_of(profile.timeline)},
        "usage": [_statistics(entry) for entry in profile.usage],
        "steps": [_statistics(entry) for entry in profile.step_statistics],
        "phases": [_statistics(entry) for entry in profile.phase_statistics],
        "operators": [asdict(operator) for operator in profile.operators[:MAX_OPERATORS]],
        "operators_note": profile.operators_note,
        "problems": profile.problems,
    }
    document: dict[str, Any] = plain(content)
    return document


def _statistics(entry: Statistics) -> dict[str, Any]:
    named = asdict(entry)
    named["max"], named["min"] = named.pop("maximum"), named.pop("minimum")
    if not entry.edges:
        del named["histogram"], named["edges"]
    named["total"] = None if entry.mean is None or entry.count is None else entry.mean * entry.count
    return named
