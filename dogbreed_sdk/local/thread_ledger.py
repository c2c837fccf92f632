"""Grants threads to jobs, first come first served, so that together they never exceed the cores."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk._util.formatting import joined
from dogbreed_sdk._util.process_identity import Process
from dogbreed_sdk._util.processes import is_alive
from training_scripts._util.atomic import write_json_atomically
from training_scripts._util.locking import file_lock

_LEDGER = "threads.json"
_WAITING = "Waiting for free cores on this machine"


@dataclass(frozen=True)
class _Claim:
    """One job's requested and granted threads; 0 threads are granted while it waits."""

    job: str
    process: Process
    wanted: int
    granted: int


class ThreadLedger:
    """The grants of one root folder, shared by its jobs' supervisors.

    They are in a file beside the database that only contains jobs that have not ended, in the order in which they
    came: waiting jobs poll it, and read few bytes.

    Args:
        root: The root folder.
        cores: The number of threads to grant; default: `available_cores()`.
    """

    def __init__(self, root: Path, cores: int | None = None) -> None:
        self._root = root
        self._path = root / _LEDGER
        self._lock = root / f"{_LEDGER}.lock"
        self.cores = cores or available_cores()

    def queue(self, job: str, *, process: Process) -> None:
        """Give a new job its place in the queue, before later jobs whose supervisors may start faster.

        Args:
            job: The job's name; nothing changes if it has a place already.
            process: Its supervisor, from `processes.identify`; its place ends with it.
        """
        with file_lock(self._lock):
            claims = self._read()
            if all(claim.job != job for claim in claims):
                self._write([*claims, _Claim(job, process, wanted=1, granted=0)])

    def claim(self, job: str, *, process: Process, wanted: int) -> int:
        """Ask for threads; ask again while the answer is 0.

        Args:
            job: The job's name.
            process: Its supervisor, from `processes.identify`; a grant ends with it.
            wanted: How many threads it can use; it gets fewer if fewer are free.

        Returns:
            The number of granted threads; 0 if the job must wait.
        """
        wanted = max(1, min(wanted, self.cores))
        with file_lock(self._lock):
            before = self._read()
            claims = [claim for claim in before if is_alive(claim.process, root=self._root)]
            place = next((place for place, claim in enumerate(claims) if claim.job == job), len(claims))
            if place == len(claims) or not claims[place].granted:
                is_next = all(claim.granted for claim in claims[:place])
                free = self.cores - sum(claim.granted for claim in claims)
                granted = min(wanted, max(0, free)) if is_next else 0
                claims[place : place + 1] = [_Claim(job, process, wanted, granted)]
            if claims != before:
                self._write(claims)
        return claims[place].granted

    def why_waiting(self) -> str:
        """What a job that was granted nothing waits for: the jobs that hold the cores, and how to stop one of them."""
        # A transform job's name comes after its kind.
        holders = [claim.job.rpartition("/")[2] for claim in self._read() if claim.granted]
        if not holders:
            return _WAITING  # a job that came before has yet to ask
        hold, them, one = ("holds", "it", "it") if len(holders) == 1 else ("hold", "them", "one")
        return (
            f"{_WAITING}: {joined(holders, most=2)} {hold} them. Wait for {them} to end, or stop {one}: "
            f"{shlex.join(['dogbreed', 'stop', holders[0], '--root', str(self._root)])}"
        )

    def release(self, job: str) -> None:
        """Release a job's threads, or take it out of the queue."""
        if not self._lock.exists():
            return  # the folder was moved away, and must not be created again
        # A full disk must not keep a job from ending: its grant dies with its supervisor anyway.
        with suppress(OSError), file_lock(self._lock):
            self._write([claim for claim in self._read() if claim.job != job])

    def _read(self) -> list[_Claim]:
        try:
            return [_Claim(**claim) for claim in json.loads(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError):
            # Losing the grants of a damaged file is better than keeping every job from running.
            return []

    def _write(self, claims: list[_Claim]) -> None:
        write_json_atomically(self._path, [asdict(claim) for claim in claims], durable=False)
