"""The processes that work on a job together: one per GPU and instance, or a single one.

`Processes` stands for a single process, and costs nothing. `ProcessGroup` has the same interface over
torch.distributed. Every process must call the methods that exchange something, in the same order.
"""

# ruff: noqa: PLC0415 - torch loads only where it is needed

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from training_scripts import ScriptError
from training_scripts.training.stop_signal import StopFlag, Stopped

if TYPE_CHECKING:
    from torch import Tensor, nn

Item = TypeVar("Item")

# Processes that end are noticed at once; this is for one that hangs. An instance with larger pictures than another's
# may be done with its features this much later.
_TIMEOUT = timedelta(hours=2)
_DEFAULT_PORT = "7777"  # sagemaker-pytorch-training, training.py


class PeerError(ScriptError):
    """Another process of the job ended early; its message or the log of its instance says why."""


class PartDone(Exception):  # noqa: N818 - not an error
    """This process has done its part of the work; the first process of the job does the rest."""


@dataclass(frozen=True)
class Place:
    """The place of a process among all processes of a job.

    Attributes:
        rank: Its number, from 0.
        count: The number of processes.
        local_rank: Its number among the processes of its instance, from 0.
        local_count: The number of processes of its instance.
        master: Where the first process listens, "host:port"; empty if torch reads it from the environment.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    master: str = ""

    @property
    def is_first(self) -> bool:
        """Whether it is the process that writes the log, checkpoints and results."""
        return self.rank == 0


def place(environ: Mapping[str, str]) -> Place:
    """Reads the place of this process.

    Args:
        environ: torchrun's variables, with which AWS's toolkit starts a job with `torch_distributed`; or
            SageMaker's, if the toolkit starts the script once per instance.
    """
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return Place(
            int(environ["RANK"]),
            int(environ["WORLD_SIZE"]),
            int(environ.get("LOCAL_RANK", "0")),
            int(environ.get("LOCAL_WORLD_SIZE", "1")),
        )
    hosts = json.loads(environ.get("SM_HOSTS") or "[]")
    host = environ.get("SM_CURRENT_HOST")
    if len(hosts) < 2 or host not in hosts:
        return Place()
    address = f"{environ.get('MASTER_ADDR') or hosts[0]}:{environ.get('MASTER_PORT') or _DEFAULT_PORT}"
    return Place(hosts.index(host), len(hosts), master=address)


class Processes:
    """A single process.

    Attributes:
        place: Its place; the only one.
    """

    place = Place()

    def train_parts(self, rows: Sequence[Item], batch_size: int) -> list[Sequence[Item]]:
        """This process's rows of each training batch.

        Args:
            rows: The rows in the order of the epoch, the same in every process.
            batch_size: The number of rows that all processes together train on in a step.
        """
        return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def plain_parts(self, rows: Sequence[Item], batch_size: int) -> list[Sequence[Item]]:
        """This process's rows of a split, in batches; the rows of all processes, in order, are the split."""
        return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network for training steps: its gradients are averaged over all processes."""
        return network

    def seed(self, seed: int) -> None:
        """Seeds what each process draws by itself, such as dropout, once all have drawn the order of an epoch."""

    def size(self, rows: int, stop: StopFlag) -> int:
        """The number of rows that all processes have together in a step.

        Args:
            rows: The rows of this process.
            stop: Whether this process was asked to stop.

        Raises:
            Stopped: A process was asked to stop.
        """
        stop.check()
        return rows

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on the same device."""
        return values

    def gather(self, value: Item) -> list[Item]:
        """The values of all processes, in their order."""
        return [value]

    def gather_first(self, value: Item) -> list[Item]:
        """The values of all processes in the first process; nothing in the others."""
        return [value]

    def from_first(self, work: Callable[[], Item]) -> Item:
        """Runs work in the first process alone; every process gets its result, or ends if it fails."""
        return work()

    def exchanging(self) -> AbstractContextManager[None]:
        """The context for a training step with the network that `parallel` has returned."""
        return nullcontext()


class ProcessGroup(Processes):
    """Several processes, connected with torch.distributed."""

    def __init__(self, where: Place, stop: StopFlag) -> None:
        """Takes a process's place; `connected` makes the connections.

        Args:
            where: The place of this process.
            stop: Set if another process was asked to stop.
        """
        self.place = where
        self._stop = stop

    def train_parts(self, rows: Sequence[Item], batch_size: int) -> list[Sequence[Item]]:
        """This process's rows of each training batch; some may be empty."""
        # torch's DistributedSampler would repeat rows so that every process has as many.
        batches = super().train_parts(rows, batch_size)
        return [batch[self.place.rank :: self.place.count] for batch in batches]

    def plain_parts(self, rows: Sequence[Item], batch_size: int) -> list[Sequence[Item]]:
        """This process's rows of a split, in equally many batches for every process; some may be empty."""
        share, size = (-(-number // self.place.count) for number in (len(rows), batch_size))
        first = self.place.rank * share
        mine = rows[first : first + share]
        return [mine[start : start + size] for start in range(0, share, size)]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network in torch's DistributedDataParallel; all processes begin with the first one's weights."""
        from torch.nn.parallel import DistributedDataParallel

        # Batch norms keep the statistics that they came with, so there are no buffers to exchange in every step.
        known = inspect.signature(DistributedDataParallel).parameters
        options: dict[str, Any] = {
            "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
        }
        with self.exchanging():
            return DistributedDataParallel(network, **options)

    def seed(self, seed: int) -> None:
        """Seeds what each process draws by itself, differently in each."""
        import torch

        torch.manual_seed(seed + 7_919 * self.place.rank)

    def size(self, rows: int, stop: StopFlag) -> int:
        """The number of rows that all processes have together in a step; all of them stop in the same step."""
        import torch

        total, stops = self.sum(torch.tensor([rows, int(stop.requested)])).tolist()
        if stops:  # and not if this process was asked to stop meanwhile, of which the others know in the next step
            stop.request()
            raise Stopped
        return int(total)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on the same device."""
        from torch import distributed

        with self.exchanging():
            distributed.all_reduce(values)
        return values

    def gather(self, value: Item) -> list[Item]:
        """The values of all processes, in their order."""
        from torch import distributed

        found: list[Any] = [None] * self.place.count
        with self.exchanging():
            distributed.all_gather_object(found, value)
        return found

    def gather_first(self, value: Item) -> list[Item]:
        """The values of all processes in the first process; nothing in the others."""
        from torch import distributed

        found: list[Any] | None = [None] * self.place.count if self.place.is_first else None
        with self.exchanging():
            distributed.gather_object(value, found)
        return found or []

    def from_first(self, work: Callable[[], Item]) -> Item:
        """Runs work in the first process alone; every process gets its result, or ends if it fails."""
        from torch import distributed

        # If the work fails, the first process ends, which ends the exchange in the others.
        found: list[Any] = [work() if self.place.is_first else None]
        with self.exchanging():
            distributed.broadcast_object_list(found)
        result: Item = found[0]
        return result

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Exchanges something with the other processes while the context lasts.

        Raises:
            Stopped: Another process has ended, and this one was asked to stop, as that one may have been.
            PeerError: Another process has ended.
        """
        try:
            yield
        except RuntimeError as error:
            if not _is_lost_connection(error):
                raise
            if self._stop.requested:
                raise Stopped from error
            reason = str(error).split(". ")[0][:300]
            raise PeerError(
                f"process {self.place.rank + 1} of {self.place.count} lost the others: one of them ended before its "
                f"work was done, and its message says why ({reason})"
            ) from error


def _is_lost_connection(error: RuntimeError) -> bool:
    from torch import distributed

    # Gloo's errors have no type; their messages begin with the file that reports them.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


@contextmanager
def connected(where: Place, stop: StopFlag) -> Iterator[Processes]:
    """Connects the processes of a job while the context lasts; a single process needs no connection.

    Args:
        where: The place of this process.
        stop: This process's request to stop.

    Raises:
        ScriptError: The instance has fewer GPUs than processes, or the other processes cannot be reached.
    """
    if where.count == 1:
        yield Processes()
        return
    from torch import distributed

    _connect(where)
    joined = ProcessGroup(where, stop)
    done: PartDone | None = None
    try:
        yield joined
    except PartDone as part:
        done = part
    # Not after an error: the other processes may wait for this one, and notice its end by its closed connections.
    with joined.exchanging():
        distributed.barrier()
    distributed.destroy_process_group()
    if done is not None:
        raise done


def _connect(where: Place) -> None:
    import torch
    from torch import distributed

    backend = "gloo"
    if torch.cuda.is_available():
        if where.local_count > torch.cuda.device_count():
            raise ScriptError(
                f"the instance has {torch.cuda.device_count()} GPUs, and {where.local_count} processes were started "
                "on it: start one per GPU"
            )
        torch.cuda.set_device(where.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    try:
        if where.master:
            distributed.init_process_group(
                backend, f"tcp://{where.master}", timeout=_TIMEOUT, rank=where.rank, world_size=where.count
            )
        else:
            distributed.init_process_group(backend, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:300]
        raise ScriptError(f"process {where.rank + 1} of {where.count} cannot reach the others: {reason}") from error


def run_to_end(work: Callable[[], int]) -> int:
    """Runs the work of an entry point, and returns its exit status; ends the process at once if it is one of several.

    torch.distributed's threads may outlive the interpreter's objects, which would end the process with SIGABRT.
    """
    if place(os.environ).count == 1:
        return work()
    try:
        status = work()
    except Exception:  # noqa: BLE001 - printed as the interpreter would
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
