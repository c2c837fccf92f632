"""Judges a run by the rules while it is trained: a line for every new finding, and where asked an early end."""

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

# Where nothing is stopped, judging may take so much of the time: quick epochs are then judged several at once.
_SHARE = 0.005
# What loading the rules and judging once costs: a run of seconds is judged when it ends.
_FIRST_SECONDS = 0.02
_WRITE_SECONDS = 30.0


class RuleWatch(Callback):
    """Evaluates the debugging rules after every epoch on what a recorder holds in memory.

    Attributes:
        results: The rules' latest answers.
        stopped: Which rule ended the run, and why; empty as long as none has.
    """

    def __init__(
        self,
        trial: Trial,
        folder: Path | str | None = None,
        *,
        parameters: str = "default",
        stop_rules: Sequence[str] = (),
        report: Callable[[str], Any] = print,
    ) -> None:
        """Nothing is judged yet.

        Args:
            trial: What the recorder fills; the recorder must be told of an epoch before this.
            folder: Where `rules.json` is written; None for nowhere.
            parameters: default or aws, the rules' parameter set.
            stop_rules: Names of the rules whose finding ends the run.
            report: Takes one line of log at a time.

        Raises:
            RuleError: There is no such rule.
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
        self.stopped: dict[str, Any] = {}
        self._said: set[tuple[str, str, str]] = set()
        self._epoch = self._judged = 0
        self._fingerprint = ""
        self._begin = self._written = time.monotonic()
        self._spent = _FIRST_SECONDS

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """The time that judging may take is counted from here. Answers about another run are removed."""
        self._begin = self._written = time.monotonic()
        self._epoch = self._judged = int(facts.get("epoch", 0) or 0)
        self._fingerprint = str(facts.get("fingerprint") or "")
        earlier = self._earlier()
        stopped = earlier.get("stopped")
        if isinstance(stopped, dict) and stopped.get("epoch") == self._epoch:  # a restart trains no further
            self.stopped = stopped

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Judges what was recorded so far; why the run should end, or None."""
        self._epoch = epoch
        if not self._stop_rules and self._spent > _SHARE * (time.monotonic() - self._begin):
            return None
        self._judge()
        return self._stop()

    def run_ends(self) -> None:
        """Judges the epochs that were not judged yet, and writes the answers."""
        if self._judged < self._epoch or (self._epoch and not self.results):
            self._judge()
        if self.results:
            self._write()

    def _earlier(self) -> dict[str, Any]:
        """What an earlier process of the same run wrote; what others did is removed."""
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

    def _judge(self) -> None:
        begin = time.monotonic()
        rules = self._rules
        self.results = rules.evaluate(trial=self._trial, parameters=self._parameters, only=rules.names("debugging"))
        self._judged = self._epoch
        for result in self.results:
            for finding in result.findings:
                self._say(result.name, finding)
        self._spent += time.monotonic() - begin
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._write()

    def _say(self, rule: str, finding: Finding) -> None:
        """One line for each tensor of each rule: a fault that goes on is no news."""
        key = (rule, finding.tensor, finding.mode)
        if key not in self._said:
            self._said.add(key)
            where = f" at step {finding.steps[0]}" if finding.steps else ""
            self._report(f"finding: {rule}{where}: {finding.message}")

    def _stop(self) -> str | None:
        for result in self.results:
            if result.name in self._stop_rules and result.status == "IssuesFound":
                reason = result.findings[0].message if result.findings else result.message
                self.stopped = {"rule": result.name, "epoch": self._epoch, "reason": reason}
                self._write()  # whatever becomes of the job after this
                return f"rule {result.name}: {reason}"
        return None

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is None:
            return
        from training_scripts._util.atomic import write_atomically  # noqa: PLC0415

        answers: dict[str, Any] = {
            "parameters": self._parameters,
            "epoch": self._epoch,
            "fingerprint": self._fingerprint,
            "rules": [result.to_dict() for result in self.results],
        }
        if self.stopped:
            answers["stopped"] = self.stopped
        try:
            write_atomically(self._path, json.dumps(answers, default=str).encode(), durable=False)
        except OSError as error:
            path, self._path = self._path, None
            self._report(f"warning: the rules' answers are not kept: cannot write {path}: {error.strerror or error}")
