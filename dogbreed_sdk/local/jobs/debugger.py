"""Evaluates the managed rules of a training job.

On AWS, each rule is a processing job. Here, one process evaluates all rules of a job after its script ends:
`python -m dogbreed_sdk.debugging.managed_rules`. This module only names it, as a request names a rule's image.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk._util.location import PACKAGE_PARENT
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.jobs import debugger_outputs
from dogbreed_sdk.local.jobs.artifacts import copy_contents
from dogbreed_sdk.local.jobs.debugger_outputs import DEBUG_OUTPUT, PROFILER_OUTPUT
from dogbreed_sdk.local.jobs.debugger_states import KINDS, configurations
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.states import RuleOutcome
from training_scripts._util.atomic import write_json_atomically

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

EVALUATOR = "dogbreed_sdk.debugging.managed_rules"
EVALUATION_SECONDS = 300
RULE_OUTPUT = "rule-output"
_LOOK_SECONDS = 0.05


class _Rule(TypedDict):
    """A rule in the evaluator's task; `output` is the folder that receives its own folder."""

    name: str
    kind: str
    parameters: Mapping[str, str]
    output: str


def evaluate(
    host: Host,
    request: CreateTrainingJobRequestTypeDef,
    *,
    report: Callable[[str], object],
    ended: Callable[[], bool] = lambda: False,
) -> dict[str, RuleOutcome]:
    """Evaluate a job's rules on what its scripts recorded, and copy the rules' output to its URIs.

    Args:
        host: One of the job's hosts, which share their recordings.
        request: The CreateTrainingJob request.
        report: Called with lines for the job's log.
        ended: Called several times a second; if it returns True, the evaluation is abandoned.

    Returns:
        The outcomes by the rule configurations' names; empty without rules.
    """
    rules, folders = _rules(host, request)
    if not rules:
        return {}
    outcome = _evaluated(host, request, rules, ended)
    for uri, folder in folders.items():
        try:
            if folder.exists():
                copy_contents(folder, f"{uri}/", report)
        except (OSError, ConfigurationError) as error:
            report(f"warning: {uri} is not complete: {error}")
    return outcome


def _rules(host: Host, request: CreateTrainingJobRequestTypeDef) -> tuple[list[_Rule], dict[str, Path]]:
    """The rules, and the local folder of each URI that receives rules' output."""
    rules: list[_Rule] = []
    folders: dict[str, Path] = {}
    for kind in KINDS:
        for entry in configurations(request, kind):
            uri = debugger_outputs.place(entry.get("S3OutputPath"), request, host.job.path.name) + f"/{RULE_OUTPUT}"
            folder = folders.setdefault(uri, host.job.path / "rules" / str(len(folders)) / RULE_OUTPUT)
            parameters = entry.get("RuleParameters") or {}
            name = entry["RuleConfigurationName"]
            rules.append({"name": name, "kind": kind, "parameters": parameters, "output": str(folder)})
    return rules, folders


def _evaluated(
    host: Host, request: CreateTrainingJobRequestTypeDef, rules: list[_Rule], ended: Callable[[], bool]
) -> dict[str, RuleOutcome]:
    task, answer = host.job.path / "rules.json", host.job.path / "rule-statuses.json"
    try:
        recorded = debugger_outputs.outputs(host, request)
        content = {
            "debug": str(recorded[DEBUG_OUTPUT].folder) if DEBUG_OUTPUT in recorded else None,
            "profiler": str(recorded[PROFILER_OUTPUT].folder) if PROFILER_OUTPUT in recorded else None,
            "rules": rules,
            "answer": str(answer),
        }
        write_json_atomically(task, content, durable=False)
        why = _run_evaluator(task, ended)
        if not why:
            found: dict[str, RuleOutcome] = json.loads(answer.read_text(encoding="utf-8"))
            return found
    except (OSError, ValueError, ConfigurationError) as error:
        why = str(error)
    return {rule["name"]: {"status": "Error", "details": f"the rule evaluator failed: {why}"} for rule in rules}


def _run_evaluator(task: Path, ended: Callable[[], bool]) -> str:
    """Run the evaluator to its end; returns why there is no result, or an empty text."""
    deadline = time.monotonic() + EVALUATION_SECONDS
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", EVALUATOR, str(task)], cwd=PACKAGE_PARENT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                if ended():
                    return "it was stopped"
                if time.monotonic() > deadline:
                    return f"it gave no answer within {EVALUATION_SECONDS} s"
                time.sleep(_LOOK_SECONDS)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    return "" if process.returncode == 0 else (lines or ["no message"])[-1]
