"""Debugger and Profiler configurations over the API: the script is told where to record, rules get a status."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_for
from training_scripts.recording.profile.profile import CPU, CPU_MEMORY, NETWORK
from training_scripts.recording.profile.reader import read_profile
from training_scripts.recording.trial.file_trial import FileTrial

Request = Callable[..., dict[str, Any]]
Pack = Callable[[str], dict[str, str]]
Ended = Callable[[str], dict[str, Any]]

# A script that knows nothing of us but the container's configuration, and records a loss that vanishes into NaN.
RECORD = """
import json, os, pathlib, shutil
told = json.loads(pathlib.Path(os.environ["SM_INPUT_CONFIG_DIR"], "debughookconfig.json").read_text())
profiler = json.loads(pathlib.Path(os.environ["SM_INPUT_CONFIG_DIR"], "profilerconfig.json").read_text())
print(json.dumps({"hook": told["HookParameters"], "interval": profiler["ProfilingIntervalInMilliseconds"]}), flush=True)
shutil.copytree(TRIAL, told["LocalPath"], dirs_exist_ok=True)
"""
NOTHING = "print('done', flush=True)"
FAIL = "raise RuntimeError('my own reason')"


def rule(name: str, invoked: str | None = None, **parameters: str) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": "rules",
        "RuleParameters": {"rule_to_invoke": invoked or name, **parameters},
    }


@pytest.fixture
def debugged(training_request: Request, tmp_path: Path) -> Request:
    """A request with a hook, a profiler and two rules."""
    place = (tmp_path / "debugger").as_uri()

    def make(name: str, hyperparameters: dict[str, str], **changes: Any) -> dict[str, Any]:
        settings = {
            "DebugHookConfig": {"S3OutputPath": place, "HookParameters": {"train.save_interval": "7"}},
            "DebugRuleConfigurations": [rule("VanishingGradient"), rule("Overfit")],
            "ProfilerConfig": {"S3OutputPath": place, "ProfilingIntervalInMilliseconds": 500},
        }
        return training_request(name, hyperparameters, **{**settings, **changes})

    return make


def statuses(described: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        entry["RuleConfigurationName"]: (entry["RuleEvaluationStatus"], entry.get("StatusDetails", ""))
        for entry in described["DebugRuleEvaluationStatuses"]
    }


@pytest.fixture
def judged(sagemaker: Any, ended: Ended) -> Ended:
    """Waits for a job, then for its rules, which are judged after it."""

    def wait(name: str) -> dict[str, Any]:
        ended(name)

        def answer() -> dict[str, Any] | None:
            described = sagemaker.describe_training_job(TrainingJobName=name)
            return None if "InProgress" in {status for status, _ in statuses(described).values()} else described

        return wait_for(answer)

    return wait


def test_rules_judge_what_the_script_recorded(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path, tmp_path: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    request = debugged("vanishing", script(RECORD.replace("TRIAL", repr(trial))))
    sagemaker.create_training_job(**request)
    described = judged("vanishing")
    assert described["TrainingJobStatus"] == "Completed"
    found = statuses(described)
    assert found["VanishingGradient"][0] == "IssuesFound"
    assert "gradient/" in found["VanishingGradient"][1]
    assert found["Overfit"][0] in ("NoIssuesFound", "Stopped")
    assert (tmp_path / "debugger/vanishing/debug-output/index").is_dir()
    written = tmp_path / "output/vanishing/rule-output/VanishingGradient/result.json"
    assert json.loads(written.read_text())["status"] == "IssuesFound"
    [arn] = {entry["RuleEvaluationJobArn"] for entry in described["DebugRuleEvaluationStatuses"][:1]}
    assert ":processing-job/vanishing-VanishingGradient" in arn


def test_the_parameters_of_a_rule_count(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    rules = [rule("Lenient", "VanishingGradient", threshold="0", rule_container="ignored")]
    request = debugged("lenient", script(RECORD.replace("TRIAL", repr(trial))), DebugRuleConfigurations=rules)
    sagemaker.create_training_job(**request)
    assert statuses(judged("lenient"))["Lenient"][0] == "NoIssuesFound"


def test_rules_are_in_progress_until_the_script_has_ended(sagemaker: Any, debugged: Request, script: Pack) -> None:
    sagemaker.create_training_job(**debugged("running", script("import time; time.sleep(60)")))
    described = sagemaker.describe_training_job(TrainingJobName="running")
    sagemaker.stop_training_job(TrainingJobName="running")
    assert {status for status, _ in statuses(described).values()} == {"InProgress"}
    assert described["DebugHookConfig"]["HookParameters"] == {"train.save_interval": "7"}


@pytest.mark.parametrize(("text", "outcome"), [(NOTHING, "Completed"), (FAIL, "Failed")])
def test_a_script_that_records_nothing_gives_its_rules_nothing(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, text: str, outcome: str
) -> None:
    sagemaker.create_training_job(**debugged("silent", script(text)))
    described = judged("silent")
    assert described["TrainingJobStatus"] == outcome
    assert ("my own reason" in described.get("FailureReason", "")) is (outcome == "Failed")
    status, details = statuses(described)["VanishingGradient"]
    assert status == "Error"
    assert "nothing was recorded" in details


def test_a_job_keeps_its_model_where_the_rules_output_has_no_place(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path, tmp_path: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    (tmp_path / "output/kept").mkdir(parents=True)
    (tmp_path / "output/kept/rule-output").write_text("in the way")
    sagemaker.create_training_job(**debugged("kept", script(RECORD.replace("TRIAL", repr(trial)))))
    described = judged("kept")
    assert described["TrainingJobStatus"] == "Completed"
    assert (tmp_path / "output/kept/output/model.tar.gz").is_file()
    assert statuses(described)["VanishingGradient"][0] == "IssuesFound"


@pytest.mark.parametrize("name", ["../../../escaped", "..", "a b/c"])
def test_the_name_of_a_rule_is_no_path(
    sagemaker: Any,
    debugged: Request,
    script: Pack,
    judged: Ended,
    fixtures_folder: Path,
    tmp_path: Path,
    name: str,
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    request = debugged(
        "odd", script(RECORD.replace("TRIAL", repr(trial))), DebugRuleConfigurations=[rule(name, "VanishingGradient")]
    )
    sagemaker.create_training_job(**request)
    assert statuses(judged("odd"))[name][0] == "IssuesFound"
    [written] = tmp_path.rglob("output/odd/rule-output/*/result.json")
    assert not [path for path in tmp_path.rglob("escaped*") if path != written.parent and "ml" not in path.parts]


def test_a_script_finds_the_local_path_that_the_request_names(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path, tmp_path: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "healthy")
    hook = {"S3OutputPath": (tmp_path / "debugger").as_uri(), "LocalPath": "/opt/ml/output/mine/", "HookParameters": {}}
    text = RECORD.replace("TRIAL", repr(trial)) + "\nassert told['LocalPath'].endswith('/ml/output/mine')"
    sagemaker.create_training_job(**debugged("mine", script(text), DebugHookConfig=hook))
    assert judged("mine")["TrainingJobStatus"] == "Completed"
    assert (tmp_path / "debugger/mine/debug-output/index").is_dir()


def test_a_local_path_outside_the_container_is_refused_by_name(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, tmp_path: Path
) -> None:
    hook = {"S3OutputPath": (tmp_path / "debugger").as_uri(), "LocalPath": "/etc/tensors"}
    sagemaker.create_training_job(**debugged("outside", script(NOTHING), DebugHookConfig=hook))
    described = judged("outside")
    assert described["TrainingJobStatus"] == "Failed"
    assert "LocalPath is /etc/tensors" in described["FailureReason"]


def test_a_rule_that_there_is_not_is_an_error_of_its_own(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "healthy")
    rules = [rule("Mine", "NoSuchRule"), rule("VanishingGradient")]
    request = debugged("mixed", script(RECORD.replace("TRIAL", repr(trial))), DebugRuleConfigurations=rules)
    sagemaker.create_training_job(**request)
    found = statuses(judged("mixed"))
    assert found["Mine"][0] == "Error"
    assert "NoSuchRule" in found["Mine"][1]
    assert found["VanishingGradient"][0] == "NoIssuesFound"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DebugRuleConfigurations": [rule("Overfit"), rule("Overfit")]}, "'Overfit' is used more than once"),
        ({"DebugHookConfig": None}, "need a DebugHookConfig"),
        (
            {"ProfilerConfig": {"DisableProfiler": True}, "ProfilerRuleConfigurations": [rule("BatchSize")]},
            "when the profiler is disabled",
        ),
        ({"ProfilerConfig": {"ProfilingIntervalInMilliseconds": 300}}, "is 300; it must be one of 100, 200"),
    ],
)
def test_what_aws_refuses_is_refused(
    empty_sagemaker: Any, debugged: Request, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        empty_sagemaker.create_training_job(**debugged("refused", {}, **changes))


# Prints what smdebug's variables lead to.
LOOK = """
import json, os, pathlib
names = "SMDEBUG_CONFIG_FILE_PATH SMPROFILER_CONFIG_PATH CHECKPOINT_CONFIG_FILE_PATH TENSORBOARD_CONFIG_FILE_PATH"
paths = {name: pathlib.Path(os.environ[name]) for name in names.split()}
found = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
for content in found.values():
    assert os.path.isdir(content["LocalPath"]), content
for name in ("SMDEBUG_CONFIG_FILE_PATH", "TENSORBOARD_CONFIG_FILE_PATH"):
    if name in found:
        pathlib.Path(found[name]["LocalPath"], "recorded").write_text(name)
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "found.json").write_text(json.dumps(found))
"""


def found_by_script(job_output: Path) -> dict[str, Any]:
    with tarfile.open(job_output / "output/output.tar.gz") as tar:
        member = tar.extractfile("found.json")
        assert member is not None
        found: dict[str, Any] = json.load(member)
    return found


def test_smdebug_finds_all_of_its_configuration(
    sagemaker: Any, debugged: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    collections = [
        {"CollectionName": "custom", "CollectionParameters": {"include_regex": "relu", "save_interval": "3"}}
    ]
    place = (tmp_path / "debugger").as_uri()
    request = debugged(
        "configured",
        script(LOOK),
        DebugHookConfig={
            "S3OutputPath": place,
            "HookParameters": {"save_all": "true"},
            "CollectionConfigurations": collections,
        },
        TensorBoardOutputConfig={"S3OutputPath": place},
        CheckpointConfig={"S3Uri": (tmp_path / "checkpoints").as_uri()},
    )
    sagemaker.create_training_job(**request)
    assert ended("configured")["TrainingJobStatus"] == "Completed"
    found = found_by_script(tmp_path / "output/configured")
    assert found["SMDEBUG_CONFIG_FILE_PATH"]["HookParameters"] == {"save_all": "true"}
    assert found["SMDEBUG_CONFIG_FILE_PATH"]["CollectionConfigurations"] == collections
    # smdebug profiles the framework wherever there are ProfilingParameters.
    assert "ProfilingParameters" not in found["SMPROFILER_CONFIG_PATH"]
    assert found["CHECKPOINT_CONFIG_FILE_PATH"]["LocalPath"].endswith("/checkpoints")
    recorded = tmp_path / "debugger/configured"
    assert (recorded / "debug-output/recorded").read_text() == "SMDEBUG_CONFIG_FILE_PATH"
    assert (recorded / "tensorboard-output/recorded").read_text() == "TENSORBOARD_CONFIG_FILE_PATH"


def test_a_job_without_debugger_leads_smdebug_to_no_file(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    sagemaker.create_training_job(**training_request("plain", script(LOOK)))
    assert ended("plain")["TrainingJobStatus"] == "Completed"
    assert found_by_script(tmp_path / "output/plain") == {}


def test_what_was_recorded_is_there_when_the_job_is_completed(
    sagemaker: Any, debugged: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    sagemaker.create_training_job(**debugged("prompt", script("import time; time.sleep(0.7)")))
    ended("prompt")
    # smdebug's create_trial waits for this mark, which AWS writes too.
    assert (tmp_path / "debugger/prompt/debug-output/training_job_end.ts").is_file()
    profile = read_profile(tmp_path / "debugger/prompt/profiler-output")
    assert {CPU, CPU_MEMORY, NETWORK} <= set(profile.system["algo-1"])
    assert profile.problems == ()


def test_every_host_has_its_system_metrics(
    sagemaker: Any, debugged: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
    sagemaker.create_training_job(**debugged("pair", script("import time; time.sleep(0.7)"), ResourceConfig=resources))
    assert ended("pair")["TrainingJobStatus"] == "Completed"
    profile = read_profile(tmp_path / "debugger/pair/profiler-output")
    assert profile.system.keys() == {"algo-1", "algo-2"}
    assert all({CPU, CPU_MEMORY} <= set(metrics) for metrics in profile.system.values())


@pytest.mark.parametrize("profiler", [{"DisableProfiler": True}, None])
def test_without_a_profiler_the_machine_is_not_sampled(
    sagemaker: Any, debugged: Request, script: Pack, ended: Ended, tmp_path: Path, profiler: dict[str, Any] | None
) -> None:
    sagemaker.create_training_job(**debugged("unsampled", script(NOTHING), ProfilerConfig=profiler))
    ended("unsampled")
    assert not list(tmp_path.rglob("unsampled/profiler-output"))


def test_a_rules_output_goes_to_its_own_place(
    sagemaker: Any, debugged: Request, script: Pack, judged: Ended, fixtures_folder: Path, tmp_path: Path
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    elsewhere = {**rule("VanishingGradient"), "S3OutputPath": (tmp_path / "elsewhere").as_uri()}
    request = debugged(
        "placed", script(RECORD.replace("TRIAL", repr(trial))), DebugRuleConfigurations=[elsewhere, rule("Overfit")]
    )
    sagemaker.create_training_job(**request)
    judged("placed")
    assert (tmp_path / "elsewhere/placed/rule-output/VanishingGradient/result.json").is_file()
    assert [path.name for path in (tmp_path / "output/placed/rule-output").iterdir()] == ["Overfit"]


@pytest.mark.parametrize(
    "parameters", [{"rule_to_invoke": "VanishingGradient", "source_s3_uri": "s3://bucket/my_rule.py"}, {}]
)
def test_a_custom_rule_is_an_error_that_says_why(
    sagemaker: Any,
    debugged: Request,
    script: Pack,
    judged: Ended,
    fixtures_folder: Path,
    parameters: dict[str, str],
) -> None:
    trial = str(fixtures_folder / "smdebug-trials" / "vanishing")
    mine = {"RuleConfigurationName": "Mine", "RuleEvaluatorImage": "mine", "RuleParameters": parameters}
    request = debugged("custom", script(RECORD.replace("TRIAL", repr(trial))), DebugRuleConfigurations=[mine])
    sagemaker.create_training_job(**request)
    status, details = statuses(judged("custom"))["Mine"]
    assert status == "Error"
    assert "this rule is custom" in details


# Records two steps as smdebug does, a while apart, and waits until it is told to end.
GRADUAL = """
import json, os, pathlib, time
folder = pathlib.Path(json.loads(pathlib.Path(os.environ["SMDEBUG_CONFIG_FILE_PATH"]).read_text())["LocalPath"])
for step in ("0", "1"):
    for part in ("events", "index"):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / step).write_text(step)
    (folder / "claim.smd").touch()
    (folder / f"{step}.tmp").touch()
    if step == "0":
        while not (folder / "continue").exists():
            time.sleep(0.02)
"""


def below(s3: Any, prefix: str) -> dict[str, str]:
    """The objects below a prefix of the bucket, by their names without it."""
    listed = s3.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return {
        item["Key"].removeprefix(prefix): s3.get_object(Bucket="bucket", Key=item["Key"])["Body"].read().decode()
        for item in listed
    }


def test_outputs_on_s3_grow_while_the_script_runs_and_are_complete_with_the_job(
    sagemaker: Any, s3: Any, debugged: Request, script: Pack, ended: Ended, root: Path
) -> None:
    place = "s3://bucket/debugger"
    request = debugged(
        "gradual",
        script(GRADUAL),
        DebugHookConfig={"S3OutputPath": place},
        ProfilerConfig={"S3OutputPath": place},
        DebugRuleConfigurations=None,
    )
    sagemaker.create_training_job(**request)
    # Readers find a step by its index, which is uploaded last.
    wait_for(lambda: "index/0" in below(s3, "debugger/gradual/debug-output/"))
    assert below(s3, "debugger/gradual/debug-output/") == {"events/0": "0", "index/0": "0"}
    assert sagemaker.describe_training_job(TrainingJobName="gradual")["TrainingJobStatus"] == "InProgress"
    (root / "jobs/gradual/ml/output/tensors/continue").touch()
    assert ended("gradual")["TrainingJobStatus"] == "Completed"
    steps = {f"{part}/{step}": step for part in ("events", "index") for step in ("0", "1")}
    assert below(s3, "debugger/gradual/debug-output/") == {**steps, "continue": "", "training_job_end.ts": ""}
    assert any(name.endswith(".algo-1.json") for name in below(s3, "debugger/gradual/profiler-output/"))
    # As with a container, what was uploaded does not stay on the disk.
    wait_for(lambda: not list((root / "jobs/gradual/recordings").iterdir()))


def test_outputs_that_cannot_be_uploaded_cost_a_line_of_the_log(
    sagemaker: Any, s3: Any, debugged: Request, script: Pack, ended: Ended, root: Path
) -> None:
    request = debugged("homeless", script(NOTHING), DebugHookConfig={"S3OutputPath": "s3://no-such-bucket/debugger"})
    sagemaker.create_training_job(**request)
    assert ended("homeless")["TrainingJobStatus"] == "Completed"
    assert "the job's recordings are not complete" in (root / "jobs/homeless/log.jsonl").read_text()
    assert (root / "jobs/homeless/recordings/debug-output/training_job_end.ts").is_file()


UNAWARE = """
import torch
from torch import nn
torch.manual_seed(0)
model, criterion = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(20):
    loss = criterion(model(torch.randn(16, 4)), torch.randint(0, 2, (16,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.slow
def test_a_script_that_knows_no_debugger_is_recorded_and_judged(
    sagemaker: Any, debugged: Request, script: Pack, ended: Ended, judged: Ended, tmp_path: Path, root: Path
) -> None:
    hook = {
        "S3OutputPath": (tmp_path / "debugger").as_uri(),
        "HookParameters": {"save_interval": "5"},
        "CollectionConfigurations": [
            {"CollectionName": "gradients"},
            {"CollectionName": "losses", "CollectionParameters": {"save_interval": "1"}},
        ],
    }
    rules = [rule("VanishingGradient"), rule("LossNotDecreasing", action_json="[]")]
    request = debugged("unaware", script(UNAWARE), DebugHookConfig=hook, DebugRuleConfigurations=rules)
    sagemaker.create_training_job(**request)
    assert ended("unaware")["TrainingJobStatus"] == "Completed"
    log = (root / "jobs/unaware/log.jsonl").read_text()
    assert "The actions of the rule LossNotDecreasing have no effect" in log
    trial = FileTrial(tmp_path / "debugger/unaware/debug-output")
    assert trial.ended
    assert trial.tensor("CrossEntropyLoss_output_0").steps("GLOBAL") == list(range(20))
    assert trial.tensor("gradient/Sequential_0.weight").steps("GLOBAL") == [0, 5, 10, 15]
    found = statuses(judged("unaware"))
    assert {status for status, _ in found.values()} <= {"NoIssuesFound", "IssuesFound"}, found
