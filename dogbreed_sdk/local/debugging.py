"""The managed Debugger's part of a training job: its files in the container, its rules, their statuses.

Rules are processing jobs of their own on AWS. Here one process evaluates all rules of a job when its script has ended:
`python -m dogbreed_sdk.debugging.evaluator`, named and not imported, as the image of a rule is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.folders import JobFolder, write_atomically
from dogbreed_sdk.local.processes import PACKAGE_PARENT
from dogbreed_sdk.local.rule_states import KINDS, configurations
from dogbreed_sdk.local.s3_transfer import upload_object

EVALUATOR = "dogbreed_sdk.debugging.evaluator"
EVALUATION_SECONDS = 300
# AWS's names of the folders below <S3OutputPath>/<job>.
DEBUG_OUTPUT, PROFILER_OUTPUT, RULE_OUTPUT = "debug-output", "profiler-output", "rule-output"
_LOCAL_TENSORS, _LOCAL_PROFILER = "output/tensors", "output/profiler"


def stage(base: Path, request: Mapping[str, Any], job: str) -> None:
    """Tell the script where to record, as AWS's containers are told; a file:// output is written to directly.

    Args:
        base: The folder that stands for /opt/ml.
        request: The CreateTrainingJob request.
        job: The job's name.

    Raises:
        ConfigurationError: The output cannot be used.
    """
    hook, profiler = request.get("DebugHookConfig"), request.get("ProfilerConfig")
    if hook:
        local = _output_folder(base, _LOCAL_TENSORS, f"{_place(hook, request, job)}/{DEBUG_OUTPUT}")
        write_atomically(base / "input/config/debughookconfig.json", {**hook, "LocalPath": str(local)})
    if profiler:
        parameters = dict(profiler.get("ProfilingParameters") or {})
        if not profiler.get("DisableProfiler"):
            folder = f"{_place(profiler, request, job)}/{PROFILER_OUTPUT}"
            parameters["LocalPath"] = str(_output_folder(base, _LOCAL_PROFILER, folder))
        write_atomically(base / "input/config/profilerconfig.json", {**profiler, "ProfilingParameters": parameters})


def evaluate(folder: JobFolder, request: Mapping[str, Any], job: str, report: Callable[[str], Any]) -> dict[str, Any]:
    """Evaluate a job's rules on what its script recorded.

    Args:
        folder: The job's folder.
        request: The CreateTrainingJob request.
        job: The job's name.
        report: Takes a line for the job's log.

    Returns:
        Rule configuration name -> {"status": one of AWS's, "details": text}; empty without rules.
    """
    rules = [
        {"name": entry["RuleConfigurationName"], "kind": kind, "parameters": entry.get("RuleParameters") or {}}
        for kind in KINDS
        for entry in configurations(request, kind)
    ]
    if rules:
        report(f"evaluating {len(rules)} rules")
        outcome = _evaluated(folder, rules)
    else:
        outcome = {}
    _upload(folder.container, request, job)
    return outcome


def _evaluated(folder: JobFolder, rules: list[dict[str, Any]]) -> dict[str, Any]:
    task = folder.path / "rules.json"
    answer = folder.path / "rule-statuses.json"
    base = folder.container
    write_atomically(
        task,
        {
            "debug": str(base / _LOCAL_TENSORS),
            "profiler": str(base / _LOCAL_PROFILER),
            "output": str(base / "output" / RULE_OUTPUT),
            "rules": rules,
            "answer": str(answer),
        },
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", EVALUATOR, str(task)],
            cwd=PACKAGE_PARENT,
            capture_output=True,
            text=True,
            timeout=EVALUATION_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return found
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
    except subprocess.TimeoutExpired:
        why = f"no answer within {EVALUATION_SECONDS} s"
    except (OSError, ValueError) as error:
        why = str(error)
    return {rule["name"]: {"status": "Error", "details": f"the rule evaluator failed: {why}"} for rule in rules}


def _place(configuration: Mapping[str, Any], request: Mapping[str, Any], job: str) -> str:
    """<S3OutputPath>/<job>; the job's own output where the configuration names none."""
    uri = configuration.get("S3OutputPath") or request["OutputDataConfig"]["S3OutputPath"]
    return f"{uri.rstrip('/')}/{job}"


def _output_folder(base: Path, inside: str, uri: str) -> Path:
    """The container's folder for an output: a link to where a file:// output lies, else a plain folder."""
    local = base / inside
    local.parent.mkdir(parents=True, exist_ok=True)
    if uri.startswith("s3://"):
        local.mkdir(exist_ok=True)
        return local
    try:
        target = container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"The Debugger's S3OutputPath: {error}.") from error
    target.mkdir(parents=True, exist_ok=True)
    local.symlink_to(target, target_is_directory=True)
    return local


def _upload(base: Path, request: Mapping[str, Any], job: str) -> None:
    """Copy what lies in plain folders to S3, and the rules' output to where the job's outputs are."""
    hook, profiler = request.get("DebugHookConfig"), request.get("ProfilerConfig")
    outputs = [(hook, _LOCAL_TENSORS, DEBUG_OUTPUT), (profiler, _LOCAL_PROFILER, PROFILER_OUTPUT)]
    for configuration, inside, name in outputs:
        if configuration and (base / inside).is_dir() and not (base / inside).is_symlink():
            _copy(base / inside, f"{_place(configuration, request, job)}/{name}")
    if (base / "output" / RULE_OUTPUT).is_dir():
        _copy(base / "output" / RULE_OUTPUT, f"{_place({}, request, job)}/{RULE_OUTPUT}")


def _copy(folder: Path, uri: str) -> None:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if uri.startswith("s3://"):
            upload_object(path, f"{uri}/{name}")
        else:
            target = container.uri_to_path(uri) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
