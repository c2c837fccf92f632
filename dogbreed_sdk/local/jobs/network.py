"""How the hosts of a job reach each other on this machine: loopback addresses, and a port that no other job uses."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError

INTERFACE = "lo" if sys.platform == "linux" else "lo0"
# The port of AWS's containers (sagemaker-training, torch_distributed.py).
_MASTER_PORT = 7777
_NETWORKS = 200
_SYSTEM_HOSTS = Path("/etc/hosts")


@dataclass(frozen=True)
class JobNetwork:
    """The addresses of one job's hosts.

    Attributes:
        number: Its number among the networks of the jobs that run on this machine, from 0.
    """

    number: int

    @property
    def master_port(self) -> int:
        """The port on which the first host's processes may listen for the others: 7777 if no other job uses it."""
        return _MASTER_PORT + self.number

    def addresses(self, hosts: Sequence[str]) -> dict[str, str]:
        """The hosts' addresses by name: 127.0.0.1, 127.0.0.2 and so on in the first network."""
        # Linux has all of 127.0.0.0/8; other systems may have 127.0.0.1 only, where the first host must be reached.
        network = self.number if sys.platform == "linux" else 0
        return {host: f"127.0.{network}.{place}" for place, host in enumerate(hosts, 1)}

    def hosts_file(self, hosts: Sequence[str]) -> str:
        """The text of an /etc/hosts with which the hosts' names can be resolved, and all names of this machine."""
        mine = [f"{address}\t{name}\n" for name, address in self.addresses(hosts).items()]
        system = ""
        with suppress(OSError):
            system = _SYSTEM_HOSTS.read_text("utf-8", "replace")
        return "".join(mine) + system


@contextmanager
def job_network() -> Iterator[JobNetwork]:
    """A network that no other job on this machine uses while the context lasts.

    Raises:
        ConfigurationError: All networks are in use.
    """
    for number in range(_NETWORKS):
        network = JobNetwork(number)
        with _reserved(network.master_port) as is_ours:
            if is_ours:
                yield network
                return
    raise ConfigurationError(
        f"The ports {_MASTER_PORT} to {_MASTER_PORT + _NETWORKS - 1}, one of which each training job needs, are all "
        "in use on this machine: wait for other jobs to end."
    )


@contextmanager
def _reserved(port: int) -> Iterator[bool]:
    """Reserve a TCP port for other processes; yields False if it is taken.

    The token is the UDP port with the same number: jobs of all users see it, it does not keep scripts from listening
    on the TCP port, and the kernel frees it however this process ends.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as token, socket.socket() as probe:
        try:
            token.bind(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            probe.close()
        except OSError:
            yield False
        else:
            yield True
