"""The managed Debugger's part of a training job: its files in the container, its rules, their statuses.

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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk import container
from dogbreed_sdk._util.processes import PACKAGE_PARENT
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.artifacts import copy_contents
from dogbreed_sdk.local.jobs.debugger_states import KINDS, configurations
from dogbreed_sdk.local.states import RuleOutcome
from training_scripts._util.atomic import write_json_atomically

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

EVALUATOR = "dogbreed_sdk.debugging.managed_rules"
EVALUATION_SECONDS = 300
# AWS's names of the folders below <S3OutputPath>/<job>.
DEBUG_OUTPUT, PROFILER_OUTPUT, RULE_OUTPUT = "debug-output", "profiler-output", "rule-output"
_LOCAL_RULES = "output/rule-output"
# The API reference's defaults of LocalPath.
_CONTAINER_BASE, _TENSORS, _PROFILER = "/opt/ml", "/opt/ml/output/tensors", "/opt/ml/output/profiler"
_LOOK_SECONDS = 0.05


class _Rule(TypedDict):
    """A rule in the evaluator's task."""

    name: str
    kind: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class _Output:
    """One of the outputs that a script records: where the script writes it, and where users find it afterwards."""

    local: Path
    uri: str


def stage(base: Path, request: CreateTrainingJobRequestTypeDef, job: str) -> None:
    """Write the configuration files that say where to record; the script writes file:// outputs directly to their URI.

    Args:
        base: The folder that stands for /opt/ml.
        request: The CreateTrainingJob request.
        job: The job's name.

    Raises:
        ConfigurationError: An output cannot be used.
    """
    hook, profiler = request.get("DebugHookConfig"), request.get("ProfilerConfig")
    outputs = _outputs(base, request, job)
    for output in outputs.values():
        _make(output)
    if hook:
        content = {**hook, "LocalPath": str(outputs[DEBUG_OUTPUT].local)}
        write_json_atomically(base / "input/config/debughookconfig.json", content)
    if profiler:
        parameters = dict(profiler.get("ProfilingParameters") or {})
        if PROFILER_OUTPUT in outputs:
            parameters["LocalPath"] = str(outputs[PROFILER_OUTPUT].local)
        write_json_atomically(
            base / "input/config/profilerconfig.json", {**profiler, "ProfilingParameters": parameters}
        )


def evaluate(
    folder: JobFolder,
    request: CreateTrainingJobRequestTypeDef,
    job: str,
    *,
    report: Callable[[str], object],
    ended: Callable[[], bool] = lambda: False,
) -> dict[str, RuleOutcome]:
    """Evaluate a job's rules on its script's recording, and copy all outputs to their URIs.

    Args:
        folder: The job's folder.
        request: The CreateTrainingJob request.
        job: The job's name.
        report: Called with lines for the job's log.
        ended: Called several times a second; if it returns True, the evaluation is abandoned.

    Returns:
        The outcomes by the rule configurations' names; empty without rules.
    """
    rules: list[_Rule] = [
        {"name": entry["RuleConfigurationName"], "kind": kind, "parameters": entry.get("RuleParameters") or {}}
        for kind in KINDS
        for entry in configurations(request, kind)
    ]
    outputs = _outputs(folder.container, request, job)
    outcome = _evaluated(folder, outputs, rules, ended) if rules else {}
    outputs[RULE_OUTPUT] = _Output(folder.container / _LOCAL_RULES, f"{_place(None, request, job)}/{RULE_OUTPUT}")
    for output in outputs.values():
        try:
            _deliver(output, report)
        except (OSError, ConfigurationError) as error:
            report(f"warning: {output.uri} is not complete: {error}")
    return outcome


def _evaluated(
    folder: JobFolder, outputs: Mapping[str, _Output], rules: list[_Rule], ended: Callable[[], bool]
) -> dict[str, RuleOutcome]:
    task, answer = folder.path / "rules.json", folder.path / "rule-statuses.json"
    content = {
        "debug": str(outputs[DEBUG_OUTPUT].local) if DEBUG_OUTPUT in outputs else None,
        "profiler": str(outputs[PROFILER_OUTPUT].local) if PROFILER_OUTPUT in outputs else None,
        "output": str(folder.container / _LOCAL_RULES),
        "rules": rules,
        "answer": str(answer),
    }
    try:
        write_json_atomically(task, content)
        why = _run_evaluator(task, ended)
        if not why:
            found: dict[str, RuleOutcome] = json.loads(answer.read_text(encoding="utf-8"))
            return found
    except (OSError, ValueError) as error:
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


def _outputs(base: Path, request: CreateTrainingJobRequestTypeDef, job: str) -> dict[str, _Output]:
    """The outputs that the script is asked to record, by AWS's names."""
    hook, profiler = request.get("DebugHookConfig"), request.get("ProfilerConfig")
    found = {}
    if hook:
        place = f"{_place(hook.get('S3OutputPath'), request, job)}/{DEBUG_OUTPUT}"
        found[DEBUG_OUTPUT] = _Output(_local(base, hook.get("LocalPath"), _TENSORS), place)
    if profiler and not profiler.get("DisableProfiler"):
        local = (profiler.get("ProfilingParameters") or {}).get("LocalPath")
        place = f"{_place(profiler.get('S3OutputPath'), request, job)}/{PROFILER_OUTPUT}"
        found[PROFILER_OUTPUT] = _Output(_local(base, local, _PROFILER), place)
    return found


def _local(base: Path, wanted: str | None, usual: str) -> Path:
    """The place below the folder that stands for /opt/ml.

    Raises:
        ConfigurationError: The path is not below /opt/ml.
    """
    path = PurePosixPath(wanted or usual)
    if not path.is_relative_to(_CONTAINER_BASE) or ".." in path.parts:
        raise ConfigurationError(
            f"LocalPath is {wanted}; a local job records below {_CONTAINER_BASE}, for example in {usual}."
        )
    return base / path.relative_to(_CONTAINER_BASE)


def _place(output_path: str | None, request: CreateTrainingJobRequestTypeDef, job: str) -> str:
    """<S3OutputPath>/<job>; below the job's output if the configuration has no S3OutputPath."""
    uri = output_path or request["OutputDataConfig"]["S3OutputPath"]
    return f"{uri.rstrip('/')}/{job}"


def _make(output: _Output) -> None:
    """The container's folder for an output: a link to the folder of a file:// output, else a plain folder."""
    output.local.parent.mkdir(parents=True, exist_ok=True)
    if output.uri.startswith("s3://"):
        output.local.mkdir(exist_ok=True)
        return
    try:
        target = container.uri_to_path(output.uri)
    except ValueError as error:
        raise ConfigurationError(f"The Debugger's S3OutputPath: {error}.") from error
    target.mkdir(parents=True, exist_ok=True)
    output.local.symlink_to(target, target_is_directory=True)


def _deliver(output: _Output, report: Callable[[str], object]) -> None:
    """Copy an output that the script did not write directly to its URI."""
    if not output.local.is_symlink() and output.local.exists():
        copy_contents(output.local, f"{output.uri}/", report)
