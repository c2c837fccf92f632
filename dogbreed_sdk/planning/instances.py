"""How fast SageMaker's instance types are, as far as a plan needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dogbreed_sdk.aws.requests.instances import has_gpu

# vCPUs of a size; the same in all families of `price_table.csv` (EC2 user guide, "Instance types").
_TYPE = re.compile(r"ml\.([a-z0-9-]+)\.(?:(medium|large)|(\d*)xlarge)")

# Speed of one core relative to m5's. AWS's announcements: M6i and C6i "up to 15%" better than M5 and C5, M7i and C7i
# "up to 15%" better than M6i and C6i; C5's clock is a tenth above M5's. Families with a GPU have cores like m5's.
_CORE_SPEED: Final[Mapping[str, float]] = {
    "t2": 0.8,
    "m4": 0.8,
    "c5": 1.1,
    "m6i": 1.15,
    "r6i": 1.15,
    "c6i": 1.25,
    "m7i": 1.3,
    "r7i": 1.3,
    "c7i": 1.4,
}

# Peak of single precision without tensor cores in TFLOPS (NVIDIA's data sheets of T4, A10G, L4, L40S, V100, A100 and
# H100): features are computed exactly, so TF32 is off. One GPU of an instance is used.
_GPU_TFLOPS: Final[Mapping[str, float]] = {
    "g4dn": 8.1,
    "g5": 31.2,
    "g6": 30.3,
    "g6e": 91.6,
    "p3": 15.7,
    "p4d": 19.5,
    "p4de": 19.5,
    "p5": 66.9,
}


@dataclass(frozen=True)
class Machine:
    """What an instance computes with.

    Attributes:
        vcpus: Its vCPUs.
        cores: Its physical cores, as a number of m5's cores: a vCPU is one of the two threads of a core.
        gpu_tflops: Peak of one GPU in single precision, in TFLOPS; 0 without a GPU.
    """

    vcpus: int
    cores: float
    gpu_tflops: float

    @property
    def has_gpu(self) -> bool:
        """Whether it has a GPU."""
        return self.gpu_tflops > 0


def machine(instance_type: str) -> Machine | None:
    """The machine of an instance type; None for a name of unknown form, or a GPU of unknown speed.

    >>> machine("ml.m5.xlarge")
    Machine(vcpus=4, cores=2.0, gpu_tflops=0.0)
    >>> machine("ml.c5.2xlarge").cores
    4.4
    """
    found = _TYPE.fullmatch(instance_type)
    if found is None:
        return None
    family, small, times = found.groups()
    if has_gpu(instance_type) and family not in _GPU_TFLOPS:
        return None
    vcpus = 2 if small else 4 * int(times or 1)
    return Machine(vcpus, vcpus / 2 * _CORE_SPEED.get(family, 1.0), _GPU_TFLOPS.get(family, 0.0))
