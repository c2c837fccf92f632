"""The environment of a training script: the SM_* variables as AWS's toolkit sets them, and nothing secret.

Source of names and forms: sagemaker-training 5.1, environment.py (`Environment.to_env_vars`) and mapping.py.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogbreed_sdk import container
from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.cores import thread_environment
from dogbreed_sdk.local.container_image import image_environment
from dogbreed_sdk.local.jobs import debugger_outputs
from dogbreed_sdk.local.jobs.launchers import is_distributed
from dogbreed_sdk.local.jobs.network import INTERFACE
from dogbreed_sdk.local.jobs.script_run import ScriptRun
from dogbreed_sdk.local.jobs.staging import INSTANCE_GROUP, resource_configuration

# The variable that distinguishes a job's processes from all others; its value is `Host.mark`.
JOB_MARK = "DOGBREED_LOCAL_JOB"

# Properties of the toolkit's Environment that have no variable.
_UNNAMED = {
    "additional_framework_parameters",
    "channel_input_dirs",
    "distribution_hosts",
    "hyperparameters",
    "is_master",
    "is_modelparallel_enabled",
    "is_smddpmprun_installed",
    "is_smddprun_installed",
    "job_name",
    "master_hostname",
    "topology",
}


# Those for which the toolkit has variables (params.py, SAGEMAKER_HYPERPARAMETERS).
_TOOLKIT_HYPERPARAMETERS = {
    container.PROGRAM_HYPERPARAMETER,
    container.SUBMIT_DIRECTORY_HYPERPARAMETER,
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
}

# The toolkit's Environment as a dictionary: texts, numbers, lists and dictionaries.
_Settings = dict[str, Any]


def script_environment(run: ScriptRun, caller: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a job's script.

    Args:
        run: The job.
        caller: The environment of the process that starts the job; only what programs need to run is passed on.

    Returns:
        What is inherited from the caller, the thread limits and the image's defaults, all of which the request's
        Environment may override, that Environment, and the container's variables, which nothing overrides.
    """
    return {
        **inherited(caller),
        **thread_environment(run.threads),
        "PYTHONUNBUFFERED": "1",
        **image_environment(run.request["AlgorithmSpecification"].get("TrainingImage")),
        **run.request.get("Environment", {}),
        **_container_variables(run),
    }


def _container_variables(run: ScriptRun) -> dict[str, str]:
    settings = _settings(run)
    channels = settings["channel_input_dirs"]
    variables = {
        **settings,
        **{f"channel_{name}": path for name, path in channels.items()},
        **{f"hp_{name}": value for name, value in settings["hyperparameters"].items()},
        "hps": settings["hyperparameters"],
        "channels": sorted(channels),
        "user_args": run.arguments,
        "training_env": settings,
        "framework_params": settings["additional_framework_parameters"],
        "checkpoint_dir": str(run.checkpoints),
    }
    return {
        **{f"SM_{name.upper()}": _text(value) for name, value in variables.items() if name not in _UNNAMED},
        "TRAINING_JOB_NAME": run.name,
        "TRAINING_JOB_ARN": run.arn,
        "SAGEMAKER_JOB_NAME": run.name,
        "CURRENT_HOST": run.host.name,
        **_network_variables(run),
        JOB_MARK: run.host.mark,
        **debugger_outputs.variables(run.host),
    }


def _network_variables(run: ScriptRun) -> dict[str, str]:
    """The variables with which torch.distributed finds the other hosts (sagemaker-pytorch-training, training.py).

    Hosts are processes of this machine, so the names of other interfaces in a request's Environment must not win.
    """
    return {
        "MASTER_ADDR": run.host.names[0],
        "MASTER_PORT": str(run.network.master_port),
        "NCCL_SOCKET_IFNAME": INTERFACE,
        "GLOO_SOCKET_IFNAME": INTERFACE,
        "TP_SOCKET_IFNAME": INTERFACE,
        **({"CUDA_VISIBLE_DEVICES": ",".join(run.gpus)} if run.host.count > 1 else {}),
    }


def _settings(run: ScriptRun) -> _Settings:
    """The toolkit's `dict(Environment)`, as far as a local host needs it."""
    host, base = run.host, run.host.container
    resources = resource_configuration(host, run.request)
    channels = [channel["ChannelName"] for channel in run.request.get("InputDataConfig", ())]
    wire = run.request.get("HyperParameters", {})
    source = container.decode_hyperparameter(wire.get(container.SUBMIT_DIRECTORY_HYPERPARAMETER, ""))
    return {
        "job_name": run.name,
        "hyperparameters": {
            name: container.decode_hyperparameter(value) for name, value in run.hyperparameters.items()
        },
        "channel_input_dirs": {name: str(base / "input/data" / name) for name in channels},
        "input_data_config": json.loads((base / "input/config/inputdataconfig.json").read_text("utf-8")),
        "resource_config": resources,
        "additional_framework_parameters": _framework_parameters(wire),
        "framework_module": None,
        "hosts": host.names,
        "current_host": host.name,
        "current_instance_type": resources["current_instance_type"],
        "current_instance_group": INSTANCE_GROUP,
        "current_instance_group_hosts": host.names,
        "instance_groups": [INSTANCE_GROUP],
        "instance_groups_dict": {group["instance_group_name"]: group for group in resources["instance_groups"]},
        "distribution_instance_groups": [INSTANCE_GROUP] if is_distributed(wire) else [],
        "distribution_hosts": host.names if is_distributed(wire) else [],
        "master_hostname": host.names[0],
        "is_hetero": False,
        "is_master": host.index == 0,
        "is_modelparallel_enabled": None,
        "is_smddprun_installed": False,
        "is_smddpmprun_installed": False,
        "topology": [],
        "network_interface_name": resources["network_interface_name"],
        "log_level": logging.INFO,
        "module_name": run.program.removesuffix(".py"),
        "module_dir": source,
        "user_entry_point": run.program,
        "num_cpus": run.threads,
        "num_gpus": len(run.gpus),
        "num_neurons": 0,
        **_folders(base),
    }


def _folders(base: Path) -> dict[str, str]:
    return {
        "input_dir": str(base / "input"),
        "input_config_dir": str(base / "input/config"),
        "model_dir": str(base / "model"),
        "output_dir": str(base / "output"),
        "output_data_dir": str(base / "output/data"),
        "output_intermediate_dir": str(base / "output/intermediate"),
    }


def _framework_parameters(hyperparameters: Mapping[str, str]) -> _Settings:
    """The hyperparameters for the toolkit that it has no variable for, decoded."""
    return {
        name: container.decode_hyperparameter(value)
        for name, value in hyperparameters.items()
        if name.startswith(container.RESERVED_HYPERPARAMETER_PREFIX) and name not in _TOOLKIT_HYPERPARAMETERS
    }


def gpus_by_host(caller: Mapping[str, str], hosts: int) -> list[tuple[str, ...]]:
    """The GPUs of each host, as in CUDA_VISIBLE_DEVICES.

    The GPUs of this machine are divided among the hosts, and hosts get none if there are fewer GPUs than hosts:
    two ranks can't share one, and without a GPU scripts use the CPU and gloo.

    Args:
        caller: The environment of the process that starts the job, whose CUDA_VISIBLE_DEVICES limits the GPUs.
        hosts: The number of hosts.
    """
    visible = caller.get("CUDA_VISIBLE_DEVICES")
    count = gpu_count()
    found = [str(number) for number in range(count)]
    if count and visible is not None:
        found = [name for name in visible.replace(" ", "").split(",") if name]
    share = len(found) // hosts
    return [tuple(found[host * share : (host + 1) * share]) for host in range(hosts)]


def gpu_count() -> int:
    """The number of GPUs that nvidia-smi lists; 0 without nvidia-smi."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        result = subprocess.run([command, "--list-gpus"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in result.stdout.splitlines())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
