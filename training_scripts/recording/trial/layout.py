"""The layout of a trial: smdebug's folders, file names and tensor names, its JSON files, and our own `run.json`."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypedDict

EVENTS, INDEX, COLLECTIONS, CHECKSUMS, ENDED = "events", "index", "collections", "checksums", "ended"
END_FILE, RUN_FILE = "training_job_end.ts", "run.json"
# smdebug's mark of the process that records; other processes leave the trial alone.
CLAIM_FILE = "claim.smd"
WORKER = "worker_0"
REDUCTIONS_PREFIX = "smdebug/reductions/"
INDEX_FILES_A_FOLDER = 1000
MAX_JSON_BYTES = 64 << 20

# The tensors of a run as our recorder names them; parameters and activations have smdebug's names.
LOSS, ACCURACY = "CrossEntropyLoss_output_0", "accuracy"
LABELS, PREDICTIONS, VALID_LOSSES = "labels", "predictions", "valid_losses"
# The probability of the predicted class of each validation picture.
VALID_PROBABILITIES = "valid_probabilities"
# True and predicted values of a regression's validation samples.
TARGETS, OUTPUTS = "targets", "outputs"
CLASS_COUNTS, INPUT_IMAGE = "class_counts", "input_image"
# Numbers that describe a step rather than its result: the learning rate of a TRAIN step (of the first parameter group;
# of the others `learning_rate/1`, ...), and the number of samples in a TRAIN or EVAL step. smdebug has this collection.
SCALARS = "scalars"
LEARNING_RATE, STEP_SIZE = "learning_rate", "step_size"
# The total loss of a loop that is not ours, whose loss function is unknown; and the losses that add up to it, by name.
LOOP_LOSS, LOSS_PARTS = "loss_output_0", "loss_parts"
# Numbers per step that show the cause of a fault: of the inputs, of targets that are not classes, and of the outputs;
# and the norm of the gradient that was left of earlier steps although the weights have moved, relative to the new one.
INPUT_MEAN, INPUT_STD, TARGET_MEAN = "input_mean", "input_std", "target_mean"
OUTPUT_MIN, OUTPUT_MAX, OUTPUT_MEAN = "output_min", "output_max", "output_mean"
GRADIENT_KEPT = "gradient_kept"
# The standard deviation of the losses of a training step's samples, which shows how much of the curve's scatter comes
# from drawing random batches.
LOSS_STD = "loss_std"

PER_RUN = frozenset(
    {LABELS, PREDICTIONS, VALID_LOSSES, VALID_PROBABILITIES, TARGETS, OUTPUTS, CLASS_COUNTS, INPUT_IMAGE}
)
"""Tensors that are always recorded in full: they are small, and a reduction could not replace them."""

_FILE_NAME = re.compile(r"^(\d{1,18})_(.{1,200})\.(?:tfevents|json|crc32)$", re.DOTALL)
_NUMBERED = re.compile(r"^worker_(\d{1,9})$")


def event_path(step: int, worker: str = WORKER) -> str:
    """Path of a step's events within the trial.

    >>> event_path(7)
    'events/000000000007/000000000007_worker_0.tfevents'
    """
    return f"{EVENTS}/{step:012}/{step:012}_{worker}.tfevents"


def index_path(step: int, worker: str = WORKER) -> str:
    """Path of a step's index within the trial.

    >>> index_path(1007)
    'index/000000001/000000001007_worker_0.json'
    """
    return f"{INDEX}/{step // INDEX_FILES_A_FOLDER:09}/{step:012}_{worker}.json"


def checksums_path(event_file_name: str) -> str:
    """Path of an event file's checksums within the trial.

    >>> checksums_path("000000000007_worker_0.tfevents")
    'checksums/000000000007_worker_0.crc32'
    """
    return f"{CHECKSUMS}/{event_file_name.removesuffix('.tfevents')}.crc32"


def step_and_worker(file_name: str) -> tuple[int, str] | None:
    """Step and worker in the name of an event or index file; None for other files.

    >>> step_and_worker("000000000007_worker_0.tfevents")
    (7, 'worker_0')
    """
    found = _FILE_NAME.match(file_name)
    return (int(found[1]), found[2]) if found else None


def worker_end_path(worker: str) -> str:
    """Path of the file that marks the end of what another worker than the first writes.

    >>> worker_end_path("worker_1")
    'ended/worker_1'
    """
    return f"{ENDED}/{worker}"


def worker_name(rank: int) -> str:
    """The name of a worker in file names.

    >>> worker_name(1)
    'worker_1'
    """
    return f"worker_{rank}"


def worker_label(worker: str) -> str:
    """A worker's name as people read it.

    >>> worker_label("worker_1")
    'worker 1'
    """
    return worker.replace("_", " ") if _NUMBERED.match(worker) else worker


def worker_order(worker: str) -> tuple[int, str]:
    """A key that sorts workers by their numbers; those without one come last.

    >>> sorted(["worker_10", "worker_2"], key=worker_order)
    ['worker_2', 'worker_10']
    """
    numbered = _NUMBERED.match(worker)
    return (int(numbered[1]) if numbered else sys.maxsize, worker)


def reduction_name(kind: str, tensor: str) -> str:
    """The name under which smdebug records a reduction of a tensor.

    >>> reduction_name("abs_mean", "gradient/Network_head.0.weight")
    'smdebug/reductions/abs_mean/gradient/Network_head.0.weight'
    """
    return f"{REDUCTIONS_PREFIX}{kind}/{tensor}"


def learning_rate_name(group: int) -> str:
    """The name of a parameter group's learning rate.

    >>> learning_rate_name(0), learning_rate_name(1)
    ('learning_rate', 'learning_rate/1')
    """
    return f"{LEARNING_RATE}/{group}" if group else LEARNING_RATE


def is_held(name: str) -> bool:
    """Whether a number usually stays the same for many steps: it is written where equal values begin and end.

    Readers give the steps between two equal values the same value. Each event file has its first and its last one.

    >>> is_held("learning_rate/1"), is_held("loss_output_0")
    (True, False)
    """
    return name in (STEP_SIZE, GRADIENT_KEPT) or name.partition("/")[0] == LEARNING_RATE


def loss_part_name(name: str) -> str:
    """The tensor of a loss that adds up to the total with others, by the name that the loop gives it.

    >>> loss_part_name("box")
    'loss_parts/box'
    """
    return f"{LOSS_PARTS}/{name}"


def split_reduction_name(name: str) -> tuple[str, str] | None:
    """Kind and tensor of a reduction's name; None for the name of a tensor.

    >>> split_reduction_name("smdebug/reductions/l2/Network_head.0.weight")
    ('l2', 'Network_head.0.weight')
    """
    if not name.startswith(REDUCTIONS_PREFIX):
        return None
    kind, slash, tensor = name[len(REDUCTIONS_PREFIX) :].partition("/")
    return (kind, tensor) if slash else None


class _SaveConfig(TypedDict):
    """When smdebug saves a collection's tensors in one mode."""

    save_interval: int
    save_steps: list[int]
    start_step: int
    end_step: int | None


def collections_json(
    collections: Mapping[str, Sequence[str]], intervals: Mapping[str, int], *, workers: int = 1
) -> str:
    """The content of a worker's collections file.

    Args:
        collections: Collection -> its tensors' names.
        intervals: Mode -> save interval in steps.
        workers: How many workers record the trial.
    """
    saving: dict[str, _SaveConfig | None] = {
        mode: {"save_interval": interval, "save_steps": [], "start_step": 0, "end_step": None}
        for mode, interval in intervals.items()
    }
    described = {
        name: {
            "name": name,
            "include_regex": [],
            "tensor_names": sorted(tensors),
            "reduction_config": {"save_raw_tensor": True, "reductions": "", "save_shape": False},
            "save_config": {"TRAIN": None, "EVAL": None, "PREDICT": None, "GLOBAL": None} | saving,
            "save_histogram": False,
        }
        for name, tensors in collections.items()
    }
    return json_of_collections(described, workers=workers)


def json_of_collections(described: Mapping[str, Mapping[str, object]], *, workers: int = 1) -> str:
    """The content of a collections file from smdebug's descriptions of the collections.

    Args:
        described: Name -> the collection in the form of smdebug's `Collection.to_json_dict`.
        workers: How many workers record the trial.
    """
    return json.dumps({"collections": described, "_meta": {"num_workers": workers}})


_SEAL = b', "crc32": '


def sealed(text: str, *, depth: int = 1) -> bytes:
    """Adds a JSON object's checksum as its last key, for `is_damaged`.

    Args:
        text: The JSON object.
        depth: 2 adds the key to the object that is its last value.

    >>> sealed('{"a": 1}')
    b'{"a": 1, "crc32": 2057863684}'
    """
    content = text.encode()
    body = content[:-depth]
    return body + _SEAL + b"%d" % zlib.crc32(body) + content[-depth:]


def is_damaged(content: bytes) -> bool:
    """Whether a sealed JSON object was changed afterward; False for one without a checksum."""
    body, seal, crc = content.rpartition(_SEAL)
    return bool(seal) and crc.rstrip(b"}") != b"%d" % zlib.crc32(body)


def opened(path: Path | str) -> BinaryIO:
    """Opens a file for reading, without following a link or waiting for a pipe that replaced it.

    Raises:
        OSError: It is not a regular file, or it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_json(path: Path) -> dict[str, object]:
    """Reads a JSON object from a file, without the checksum of a sealed one.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: It does not contain a JSON object, or is too large to be one of ours.
    """
    return read_sealed(path)[0]


def read_sealed(path: Path) -> tuple[dict[str, object], bool]:
    """Like `read_json`; also returns whether the file was changed since it was sealed."""
    with opened(path) as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it does not contain a JSON object")
    value.pop("crc32", None)
    return value, is_damaged(content)
