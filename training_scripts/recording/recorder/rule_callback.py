"""Evaluates the rules while a run trains: logs a line for every new finding, and stops the run if asked to."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts.recording.trial import layout
from training_scripts.recording.trial.trial import Trial
from training_scripts.training.callbacks import Callback

if TYPE_CHECKING:
    from torch import nn

    from training_scripts.rules.findings import Finding, RuleResult

# Share of the time that evaluating the rules may take, unless a rule may stop the run. Quick epochs are evaluated
# several at a time.
_SHARE = 0.005
# Time to load the rules and evaluate them once: a run of seconds is evaluated only when it ends.
_FIRST_SECONDS = 0.02
_WRITE_SECONDS = 30.0


class RuleWatch(Callback):
    """Evaluates the debugging rules after every epoch on a recorder's trial in memory.

    Attributes:
        results: The latest results.
        stopped: Which rule stopped the run, and why; empty if none has.
    """

    def __init__(
        self,
        trial: Trial,
        folder: Path | str | None = None,
        *,
        parameters: str = "default",
        stop_rules: Sequence[str] = (),
        report: Callable[[str], object] = print,
    ) -> None:
        """Evaluates nothing yet.

        Args:
            trial: The trial that the recorder fills; the recorder must come before this callback.
            folder: Folder for `rules.json`; None writes nothing.
            parameters: The rules' parameter set, default or aws.
            stop_rules: Names of the rules whose findings stop the run.
            report: Called with one line of log at a time.

        Raises:
            RuleError: A rule does not exist.
        """
        from training_scripts import rules  # noqa: PLC0415 - the rules are loaded only where they are used

        for name in stop_rules:
            rules.rule(name)
        self._rules = rules
        self._trial = trial
        self._path = Path(folder) / "rules.json" if folder is not None else None
        self._parameters = parameters
        self._stop_rules = tuple(stop_rules)
        self._report = report
        self.results: list[RuleResult] = []
        self.stopped: dict[str, object] = {}
        self._logged: set[tuple[str, str, str]] = set()
        self._epoch = self._evaluated = 0
        self._fingerprint = ""
        self._begin = self._written = time.monotonic()
        self._spent = _FIRST_SECONDS

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Starts the clock of the time share, and removes results of another run."""
        self._begin = self._written = time.monotonic()
        self._epoch = self._evaluated = int(facts.get("epoch", 0) or 0)
        self._fingerprint = str(facts.get("fingerprint") or "")
        earlier = self._earlier()
        stopped = earlier.get("stopped")
        if isinstance(stopped, dict) and stopped.get("epoch") == self._epoch:  # a restarted run does not continue
            self.stopped = stopped

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Evaluates what was recorded so far; returns why the run should stop, or None."""
        self._epoch = epoch
        if not self._stop_rules and self._spent > _SHARE * (time.monotonic() - self._begin):
            return None
        self._evaluate()
        return self._stop()

    def run_ends(self) -> None:
        """Evaluates the remaining epochs, and writes the results."""
        if self._evaluated < self._epoch or (self._epoch and not self.results):
            self._evaluate()
        if self.results:
            self._write()

    def _earlier(self) -> dict[str, object]:
        """Reads the results of an earlier process of the same run; removes those of another run."""
        if self._path is None:
            return {}
        try:
            found = layout.read_json(self._path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            found = {}
        if self._epoch and found.get("fingerprint") == self._fingerprint:
            return found
        with contextlib.suppress(OSError):
            self._path.unlink()
        return {}

    def _evaluate(self) -> None:
        begin = time.monotonic()
        rules = self._rules
        self.results = rules.evaluate(trial=self._trial, parameters=self._parameters, only=rules.names("debugging"))
        self._evaluated = self._epoch
        for result in self.results:
            for finding in result.findings:
                self._log(result.name, finding)
        self._spent += time.monotonic() - begin
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._write()

    def _log(self, rule: str, finding: Finding) -> None:
        """Logs one line for each tensor of each rule, not one per epoch."""
        key = (rule, finding.tensor, finding.mode)
        if key not in self._logged:
            self._logged.add(key)
            where = f" at step {finding.steps[0]}" if finding.steps else ""
            self._report(f"finding: {rule}{where}: {finding.message}")

    def _stop(self) -> str | None:
        for result in self.results:
            if result.name in self._stop_rules and result.status == self._rules.ISSUES_FOUND:
                reason = result.findings[0].message if result.findings else result.message
                self.stopped = {"rule": result.name, "epoch": self._epoch, "reason": reason}
                self._write()  # before anything else can fail
                return f"rule {result.name}: {reason}"
        return None

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is None:
            return
        from training_scripts._util.atomic import write_atomically  # noqa: PLC0415

        results: dict[str, object] = {
            "parameters": self._parameters,
            "epoch": self._epoch,
            "fingerprint": self._fingerprint,
            "rules": [result.to_dict() for result in self.results],
        }
        if self.stopped:
            results["stopped"] = self.stopped
        try:
            write_atomically(self._path, json.dumps(results, default=str).encode(), durable=False)
        except OSError as error:
            path, self._path = self._path, None
            self._report(f"warning: the rules' results are not saved: cannot write {path}: {error.strerror or error}")
