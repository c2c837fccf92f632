"""What a training job records for Debugger: its configuration in the container, and where its outputs belong.

smdebug finds the configuration through the variables of `variables`; names and forms are smdebug 1.0.34's
(core/config_constants.py, core/json_config.py, profiler/profiler_config_parser.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.container_view import OPT_ML
from dogbreed_sdk.local.jobs.checkpoints import checkpoint_path
from dogbreed_sdk.local.jobs.hosts import Host
from training_scripts._util.atomic import write_json_atomically
from training_scripts.recording.trial.layout import CLAIM_FILE, END_FILE

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

# AWS's names of the folders below <S3OutputPath>/<job>.
DEBUG_OUTPUT, PROFILER_OUTPUT, TENSORBOARD_OUTPUT = "debug-output", "profiler-output", "tensorboard-output"
# The folder of outputs that are uploaded, in the job's folder.
RECORDINGS = "recordings"
# The API reference's defaults of LocalPath.
_LOCAL_PATHS = {
    DEBUG_OUTPUT: "/opt/ml/output/tensors",
    PROFILER_OUTPUT: "/opt/ml/output/profiler",
    TENSORBOARD_OUTPUT: "/opt/ml/output/tensorboard",
}
# The parameter with a rule's actions, such as StopTraining (v2 SDK, smdebug_rulesconfig).
_ACTIONS = "action_json"
# What an ended job leaves in its trial: smdebug refuses to record to it, or records nothing.
_LEFT_BEHIND = (CLAIM_FILE, END_FILE)

_HOOK_FILE, _PROFILER_FILE = "debughookconfig.json", "profilerconfig.json"
_CHECKPOINT_FILE, _TENSORBOARD_FILE = "checkpointconfig.json", "tensorboardoutputconfig.json"
_FILES = {
    "SMDEBUG_CONFIG_FILE_PATH": _HOOK_FILE,
    "SMPROFILER_CONFIG_PATH": _PROFILER_FILE,
    "CHECKPOINT_CONFIG_FILE_PATH": _CHECKPOINT_FILE,
    "TENSORBOARD_CONFIG_FILE_PATH": _TENSORBOARD_FILE,
}


@dataclass(frozen=True)
class Output:
    """One of the outputs that scripts record.

    Attributes:
        local: Where a host's script writes it: a link to the folder.
        folder: Where it is, for all hosts of the job.
        uri: Where users find it; for a file:// URI, that is the folder.
    """

    local: Path
    folder: Path
    uri: str

    @property
    def is_uploaded(self) -> bool:
        """Whether the folder's content has to be copied to the URI."""
        return self.uri.startswith("s3://")


def variables(host: Host) -> dict[str, str]:
    """The variables through which smdebug finds its configuration; a file that the job does not need is missing."""
    folder = host.container / "input/config"
    return {name: str(folder / file) for name, file in _FILES.items()}


def outputs(host: Host, request: CreateTrainingJobRequestTypeDef) -> dict[str, Output]:
    """The outputs that a host's script is asked to record, by AWS's names.

    Raises:
        ConfigurationError: A LocalPath is not below /opt/ml, or an S3OutputPath cannot be used.
    """
    hook, profiler = request.get("DebugHookConfig"), request.get("ProfilerConfig")
    found = {}
    if hook:
        found[DEBUG_OUTPUT] = _output(host, request, DEBUG_OUTPUT, hook.get("LocalPath"), hook.get("S3OutputPath"))
    if profiler and not profiler.get("DisableProfiler"):
        local = (profiler.get("ProfilingParameters") or {}).get("LocalPath")
        found[PROFILER_OUTPUT] = _output(host, request, PROFILER_OUTPUT, local, profiler.get("S3OutputPath"))
    if tensorboard := request.get("TensorBoardOutputConfig"):
        found[TENSORBOARD_OUTPUT] = _output(
            host, request, TENSORBOARD_OUTPUT, tensorboard.get("LocalPath"), tensorboard["S3OutputPath"]
        )
    return found


def stage(host: Host, request: CreateTrainingJobRequestTypeDef, report: Callable[[str], object]) -> None:
    """Write the configuration that says where to record; the script writes file:// outputs directly to their URI.

    Args:
        host: The host of the script.
        request: The CreateTrainingJob request.
        report: Called with lines for the host's log.

    Raises:
        ConfigurationError: An output cannot be used.
    """
    found = outputs(host, request)
    for output in found.values():
        _make(output)
    local = {name: str(output.local) for name, output in found.items()}
    files: dict[str, Mapping[str, object]] = {}
    if hook := request.get("DebugHookConfig"):
        files[_HOOK_FILE] = {**hook, "LocalPath": local[DEBUG_OUTPUT]}
    if profiler := request.get("ProfilerConfig"):
        files[_PROFILER_FILE] = _profiler_file(profiler, local.get(PROFILER_OUTPUT))
        if profiler.get("ProfilingParameters") and "ProfilingParameters" not in files[_PROFILER_FILE]:
            report(
                "ProfilerConfig.ProfilingParameters has no effect in this job: smdebug cannot write to a path with "
                f"capital letters, such as {local.get(PROFILER_OUTPUT, host.container)}."
            )
    if tensorboard := request.get("TensorBoardOutputConfig"):
        files[_TENSORBOARD_FILE] = {**tensorboard, "LocalPath": local[TENSORBOARD_OUTPUT]}
    if checkpoints := request.get("CheckpointConfig"):
        files[_CHECKPOINT_FILE] = {**checkpoints, "LocalPath": str(checkpoint_path(host, request))}
    for name, content in files.items():
        write_json_atomically(host.container / "input/config" / name, content, durable=False)
    for rule in request.get("DebugRuleConfigurations", ()):
        if _ACTIONS in rule.get("RuleParameters", {}):
            report(
                f"The actions of the rule {rule['RuleConfigurationName']} have no effect on local SageMaker: rules are "
                "evaluated when the script has ended."
            )


def update_profiler(host: Host, request: CreateTrainingJobRequestTypeDef) -> None:
    """Rewrite the profiler's configuration while the script runs; smdebug reads it again with each step.

    Raises:
        ConfigurationError: The output cannot be used.
    """
    output = outputs(host, request).get(PROFILER_OUTPUT)
    if output is not None and not output.local.exists():
        _make(output)
    content = _profiler_file(request.get("ProfilerConfig") or {}, str(output.local) if output else None)
    write_json_atomically(host.container / "input/config" / _PROFILER_FILE, content, durable=False)


def place(output_path: str | None, request: CreateTrainingJobRequestTypeDef, job: str) -> str:
    """<S3OutputPath>/<job>; below the job's output if the configuration has no S3OutputPath."""
    uri = output_path or request["OutputDataConfig"]["S3OutputPath"]
    return f"{uri.rstrip('/')}/{job}"


def _profiler_file(profiler: Mapping[str, object], local: str | None) -> dict[str, object]:
    """The content of profilerconfig.json.

    smdebug profiles the framework if there are ProfilingParameters at all. It reads the file in lower case, and would
    write to another folder than LocalPath if that has capital letters; so such a job's framework is not profiled.
    """
    parameters = profiler.get("ProfilingParameters")
    content = {name: value for name, value in profiler.items() if name != "ProfilingParameters"}
    if local is not None:
        content["LocalPath"] = local
        if isinstance(parameters, Mapping) and parameters and local == local.lower():
            content["ProfilingParameters"] = {**parameters, "LocalPath": local}
    return content


def _local(base: Path, wanted: str | None, usual: str) -> Path:
    """The place below the folder that stands for /opt/ml.

    Raises:
        ConfigurationError: The path is not below /opt/ml.
    """
    path = PurePosixPath(wanted or usual)
    if not path.is_relative_to(OPT_ML) or ".." in path.parts:
        raise ConfigurationError(f"LocalPath is {wanted}; a local job records below {OPT_ML}, for example in {usual}.")
    return base / path.relative_to(OPT_ML)


def _output(
    host: Host, request: CreateTrainingJobRequestTypeDef, name: str, local: str | None, output_path: str | None
) -> Output:
    """An output, from the LocalPath and the S3OutputPath of its configuration."""
    uri = f"{place(output_path, request, host.job.path.name)}/{name}"
    if uri.startswith("s3://"):
        folder = host.job.path / RECORDINGS / name
    else:
        try:
            folder = container.uri_to_path(uri)
        except ValueError as error:
            raise ConfigurationError(f"The S3OutputPath of {name}: {error}.") from error
    return Output(_local(host.container, local, _LOCAL_PATHS[name]), folder, uri)


def _make(output: Output) -> None:
    output.folder.mkdir(parents=True, exist_ok=True)
    for name in _LEFT_BEHIND:
        (output.folder / name).unlink(missing_ok=True)
    output.local.parent.mkdir(parents=True, exist_ok=True)
    output.local.symlink_to(output.folder, target_is_directory=True)
