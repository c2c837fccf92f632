"""The container contract: names and encodings that the client and the container of a job share.

Source: AWS's sagemaker-training toolkit 5.1 (environment.py, params.py) and the developer guide's pages
"How Amazon SageMaker Provides Training Information" and "Use Your Own Inference Code with Hosting Services".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

PROGRAM_HYPERPARAMETER = "sagemaker_program"
SUBMIT_DIRECTORY_HYPERPARAMETER = "sagemaker_submit_directory"
RESERVED_HYPERPARAMETER_PREFIX = "sagemaker_"
# With the first, AWS's toolkit launches the program with torchrun on every instance: one process per GPU, or one; the
# second tells it which network adapter the instances have (sagemaker-training, runner.py and torch_distributed.py).
TORCH_DISTRIBUTED_HYPERPARAMETER = "sagemaker_torch_distributed_enabled"
INSTANCE_TYPE_HYPERPARAMETER = "sagemaker_instance_type"
# A tuning job adds it to its static hyperparameters and to those of each training job; SDKs expect it there.
OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TRANSFORM_LOG_GROUP = "/aws/sagemaker/TransformJobs"
ENDPOINT_LOG_GROUP_PREFIX = "/aws/sagemaker/Endpoints/"

MODEL_ARCHIVE = "model.tar.gz"
OUTPUT_ARCHIVE = "output.tar.gz"
SOURCE_ARCHIVE = "sourcedir.tar.gz"

# SageMaker sends SIGTERM, and SIGKILL 120 s later (API reference, StopTrainingJob).
STOP_GRACE_SECONDS = 120.0


def encode_hyperparameter(value: object) -> str:
    """A hyperparameter in script mode's wire format: JSON, so that "7" and 7 remain distinct.

    >>> encode_hyperparameter("adamw"), encode_hyperparameter(0.001), encode_hyperparameter(True)
    ('"adamw"', '0.001', 'true')
    """
    return json.dumps(value)


def decode_hyperparameter(text: str) -> object:
    """The value of a hyperparameter in wire format; text that is not JSON stands for itself.

    >>> decode_hyperparameter('"adamw"'), decode_hyperparameter("adamw"), decode_hyperparameter("0.001")
    ('adamw', 'adamw', 0.001)
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def script_arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """The command line that the toolkit builds from a job's hyperparameters, names sorted.

    >>> script_arguments({"lr": "0.01", "sagemaker_program": '"train_model.py"', "optimizer": '"sgd"'})
    ['--lr', '0.01', '--optimizer', 'sgd']
    """
    arguments: list[str] = []
    for name in sorted(hyperparameters):
        if name.startswith(RESERVED_HYPERPARAMETER_PREFIX):
            continue
        arguments.append(f"--{name}" if len(name) > 1 else f"-{name}")
        arguments.append(_argument(decode_hyperparameter(hyperparameters[name])))
    return arguments


def _argument(value: object) -> str:
    """A value as the toolkit writes it on the command line (mapping.py, to_cmd_args)."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={value[key]}" for key in sorted(value))
    return "" if value is None else str(value)


def path_to_uri(path: Path) -> str:
    """The file:// URI of a path, which is made absolute.

    >>> path_to_uri(Path("/data/my dogs"))
    'file:///data/my%20dogs'
    """
    return "file://" + quote(str(path.absolute()))


def uri_to_path(uri: str) -> Path:
    """The path in a file:// URI.

    Raises:
        ValueError: The URI is not a file:// URI of this machine.

    >>> uri_to_path("file:///data/my%20dogs").as_posix()
    '/data/my dogs'
    """
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"{uri!r} is not a file:// URI of this machine")
    return Path(unquote(parts.path))
