"""Evaluates the managed rules of a local job: `python -m dogbreed_sdk.debugging.managed_rules TASK.json`.

It replaces AWS's rule containers. The task specifies the recordings, the rules as the job's request configures them
and the folder for the output of each in AWS's layout, and the file for the results: rule -> {"status", "details"}.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogbreed_sdk.debugging.content import ReportContent
from dogbreed_sdk.debugging.html.document import document
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.jobs.managed_debugger import PROFILER_REPORT
from training_scripts import ScriptError, rules
from training_scripts._util.atomic import write_atomically
from training_scripts.recording.profile.profile import Profile
from training_scripts.rules.findings import ERROR, NOT_EVALUATED, RuleResult

# AWS has no status for a rule without data; a rule job without a result is Stopped.
_STATUSES = {NOT_EVALUATED: "Stopped"}
_RULE_TO_INVOKE = "rule_to_invoke"
# The parameters of a custom rule's source (v2 SDK, Rule.custom).
_CUSTOM = "source_s3_uri"
_DEBUGGING = "debugging"
_LONGEST_FOLDER_NAME = 100


def main(arguments: Sequence[str]) -> int:
    """Evaluates one task; returns 0. Raises if the task cannot be read or its results cannot be written."""
    task = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    report, reason = _report(task)
    answer = {}
    for rule in task["rules"]:
        try:
            if report is None or (report.trial if rule["kind"] == _DEBUGGING else report.profile) is None:
                raise ScriptError(f"nothing was recorded{': ' * bool(reason)}{reason}")
            _refuse_custom(rule)
            answer[rule["name"]] = _evaluated(report, rule, Path(rule["output"]) / _folder_name(rule["name"]))
        except Exception as error:  # noqa: BLE001 - one rule must not fail the others
            answer[rule["name"]] = {"status": ERROR, "details": str(error) or type(error).__name__}
    write_atomically(Path(task["answer"]), json.dumps(answer).encode(), durable=False)
    return 0


def _report(task: Mapping[str, Any]) -> tuple[ReportContent | None, str]:
    """Loads what the job's script recorded; or None, and why there is nothing."""
    try:
        trial, profile = (Path(task[part]) if task[part] else None for part in ("debug", "profiler"))
        return ReportContent.load_folders(trial=trial, profile=profile), ""
    except (ScriptError, DogBreedError) as error:
        return None, str(error)


def _refuse_custom(rule: Mapping[str, Any]) -> None:
    """Raises ScriptError for a rule that only its own image or source could evaluate."""
    given = rule["parameters"]
    if _CUSTOM in given or _RULE_TO_INVOKE not in given:
        raise ScriptError(
            "local SageMaker evaluates AWS's built-in rules only, and this rule is custom; evaluate it on the job's "
            "debug-output with smdebug.rules.rule_invoker.invoke_rule"
        )


def _evaluated(report: ReportContent, rule: Mapping[str, Any], folder: Path) -> dict[str, str]:
    given = dict(rule["parameters"])
    invoked = str(given.pop(_RULE_TO_INVOKE, rule["name"]))
    if invoked == PROFILER_REPORT:
        return _profiler_report(report, given, folder)
    name = _our_name(invoked)
    [result] = _judged(report, [name], {name: _known(name, given)})
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "result.json", json.dumps(result.to_dict()).encode(), durable=False)
    return {"status": _STATUSES.get(result.status, result.status), "details": result.message}


def _judged(report: ReportContent, names: Sequence[str], given: Mapping[str, Mapping[str, Any]]) -> list[RuleResult]:
    """Evaluates rules by our definition, or by AWS's for rules with parameters, which are AWS's."""
    theirs = [name for name in names if given[name]]
    ours = [name for name in names if not given[name]]
    results: list[RuleResult] = []
    for parameters, chosen in (("default", ours), ("aws", theirs)):
        if chosen:
            results += rules.evaluate(
                trial=report.trial,
                profile=report.profile,
                only=chosen,
                parameters=parameters,
                overrides={name: given[name] for name in chosen},
            )
    return results


def _profiler_report(report: ReportContent, given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """AWS's ProfilerReport: every profiling rule's result as JSON, and an HTML report."""
    names = rules.names("profiling")
    results = _judged(report, names, {name: _known(name, _of_rule(name, given)) for name in names})
    written = folder / "profiler-output" / "profiler-reports"
    written.mkdir(parents=True, exist_ok=True)
    for result in results:
        write_atomically(written / f"{result.name}.json", json.dumps(_in_aws_form(result, report.profile)).encode())
    write_atomically(written.parent / "profiler-report.html", document(report))
    found = [result for result in results if result.findings]
    return {
        "status": "IssuesFound" if found else "NoIssuesFound",
        "details": "; ".join(f"{result.name}: {result.message}" for result in found),
    }


def _in_aws_form(result: RuleResult, profile: Profile | None) -> dict[str, Any]:
    return {
        "RuleTriggered": len(result.findings),
        "Violations": len(result.findings),
        "Details": dict(result.details),
        "Datapoints": 0 if result.status in (NOT_EVALUATED, ERROR) else _measurements(profile),
        "RuleParameters": "\n".join(f"{name}:{value}" for name, value in result.parameters.items()),
    }


def _measurements(profile: Profile | None) -> int:
    """How often the machine's use was measured, over all nodes; the number of steps if it was not."""
    if profile is None:
        return 0
    measured = [max((len(metric.times) for metric in node.values()), default=0) for node in profile.system.values()]
    return sum(measured) or max((len(spans) for spans in profile.phases.values()), default=0)


def _folder_name(configuration: str) -> str:
    """A folder name for a rule's output; a configuration's name may contain any characters."""
    return re.sub(r"[^\w.-]", "_", configuration).lstrip(".")[:_LONGEST_FOLDER_NAME] or "rule"


def _our_name(invoked: str) -> str:
    """Our name of AWS's rule: the same, except for StalledTrainingRule."""
    shorter = invoked.removesuffix("Rule")
    return shorter if shorter in rules.names() else invoked


def _known(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of AWS's rule, converted to their types; those of its container are ignored."""
    known = rules.rule(name).aws
    return {key: _value(text) for key, text in given.items() if key in known}


def _of_rule(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """ProfilerReport's parameters for one rule; their names begin with it: CPUBottleneck_cpu_threshold."""
    prefix = f"{name}_".lower()
    return {key[len(prefix) :]: value for key, value in given.items() if key.lower().startswith(prefix)}


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
