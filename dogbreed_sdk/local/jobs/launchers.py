"""The command that runs a job's script on a host: the script itself, or torchrun if the job asks for it.

AWS's containers choose the launcher by hyperparameters that the SageMaker SDK sets from an estimator's `distribution`
(sagemaker-training 5.1, runner.py and torch_distributed.py; sagemaker-pytorch-training, training.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from dogbreed_sdk.local.jobs.program import Program
    from dogbreed_sdk.local.jobs.script_run import ScriptRun

# On AWS, the last two start the same processes with the same variables through MPI. sagemaker 2 sends the last one for
# pytorchddp too; a script that does use SageMaker's data parallel library fails at its import of it.
_TORCHRUN = (
    container.TORCH_DISTRIBUTED_HYPERPARAMETER,
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_distributed_dataparallel_enabled",
)
_PROCESSES_PER_HOST = "sagemaker_mpi_num_of_processes_per_host"
# sagemaker 3's ModelTrainer sends its launchers in a channel; the script there names the one to run. The one for
# MPI starts an SSH server and appends all variables to this machine's /etc/environment, so it must not even begin.
_DRIVERS = "input/data/sm_drivers/sm_train.sh"
_MPI_DRIVER = "distributed_drivers/mpi_driver.py"
_UNSUPPORTED = {
    "sagemaker_mpi_enabled": "MPI",
    "sagemaker_parameter_server_enabled": "TensorFlow's parameter servers",
    "sagemaker_multi_worker_mirrored_strategy_enabled": "TensorFlow's MultiWorkerMirroredStrategy",
    "sagemaker_pytorch_xla_multi_worker_enabled": "PyTorch/XLA",
}


def unsupported_launcher(hyperparameters: Mapping[str, str]) -> str | None:
    """Why a job with these hyperparameters can't be launched on this machine; None if it can.

    Args:
        hyperparameters: All of the request's hyperparameters in wire form.
    """
    for name, what in _UNSUPPORTED.items():
        if _is_set(hyperparameters, name):
            return (
                f"The hyperparameter {name} asks for {what}, with which local SageMaker can't launch a script. "
                'Use distribution={"torch_distributed": {"enabled": True}}, or no distribution: the script then runs '
                "once on each host and finds the others in SM_HOSTS."
            )
    return None


def is_distributed(hyperparameters: Mapping[str, str]) -> bool:
    """Whether a job's script is launched with torchrun."""
    return any(_is_set(hyperparameters, name) for name in _TORCHRUN)


def launch_command(run: ScriptRun, program: Program) -> list[str]:
    """The command line that runs a program on its host.

    Raises:
        ConfigurationError: torchrun is to launch something other than a Python script, or MPI is to launch it.
    """
    hyperparameters = run.request.get("HyperParameters", {})
    _check_drivers(run.host.container)
    if program.entrypoint or not is_distributed(hyperparameters):
        return program.command(run.arguments)
    if program.is_package or not program.script.endswith(".py"):
        raise ConfigurationError(
            f"torch_distributed launches Python scripts, and the entry point {program.script} is a package or another "
            "program: use a .py file, and a source without setup.py."
        )
    options: dict[str, object] = {
        "--nnodes": run.host.count,
        "--nproc_per_node": hyperparameters.get(_PROCESSES_PER_HOST) or max(1, len(run.gpus)),
        "--master_port": run.network.master_port,
    }
    if run.host.count > 1:
        options |= {"--master_addr": run.host.names[0], "--node_rank": run.host.index}
    words = [word for name, value in options.items() for word in (name, str(value))]
    return [program.layer.python, "-m", "torch.distributed.run", *words, program.script, *run.arguments]


def _is_set(hyperparameters: Mapping[str, str], name: str) -> bool:
    return bool(container.decode_hyperparameter(hyperparameters.get(name, "false")))


def _check_drivers(container_folder: Path) -> None:
    drivers = container_folder / _DRIVERS
    if drivers.is_file() and _MPI_DRIVER in drivers.read_text("utf-8", "replace"):
        raise ConfigurationError(
            "ModelTrainer(distributed=MPI()) asks for MPI, with which local SageMaker can't launch a script. "
            "Use distributed=Torchrun(), or leave distributed out: the script then runs once on each host and finds "
            "the others in SM_HOSTS."
        )
