"""Reads how busy the machine is: cores, I/O wait, memory, disk and network through psutil, GPUs through NVML."""

from __future__ import annotations

from typing import Any, NamedTuple

from training_scripts.training.runtime import available_cores


class Reading(NamedTuple):
    """One value, in the terms of Debugger's system metrics: percent, or bytes a second."""

    kind: str
    name: str
    dimension: str
    value: float


class Machine:
    """Samples the machine that this process runs on. Rates and percentages are since the previous `read`."""

    def __init__(self) -> None:
        """Starts counting.

        Raises:
            ImportError: psutil is not installed.
        """
        import psutil  # noqa: PLC0415 - containers may lack it

        self._psutil = psutil
        self.gpus = Gpus()
        self.cores = available_cores()
        self.memory_bytes: int = psutil.virtual_memory().total
        self._cores = _core_times(psutil)
        self._counters = self._count()
        self._time: float | None = None

    def read(self, now: float) -> list[Reading]:
        """Reads everything since the previous reading; the first reading omits rates, which need an earlier one.

        Args:
            now: Seconds of any monotonic clock.
        """
        readings = [
            Reading("memory", "MemoryUsedPercent", "MemoryUsedPercent", self._psutil.virtual_memory().percent),
            *self.gpus.read(),
        ]
        cores, counters = _core_times(self._psutil), self._count()
        if self._time is not None and now > self._time:
            seconds = now - self._time
            readings += _core_readings(self._cores, cores)
            readings += [
                Reading(*what, max(0.0, (counters[what] - before) / seconds))
                for what, before in self._counters.items()
                if what in counters
            ]
        self._cores, self._counters, self._time = cores, counters, now
        return readings

    def _count(self) -> dict[tuple[str, str, str], int]:
        """Bytes so far, by type, name and dimension, without the loopback interface."""
        counts: dict[tuple[str, str, str], int] = {}
        cards = [card for name, card in self._psutil.net_io_counters(pernic=True).items() if name != "lo"]
        if cards:
            counts["network", "ReceiveBytesPerSecond", "Algorithm"] = sum(card.bytes_recv for card in cards)
            counts["network", "TransmitBytesPerSecond", "Algorithm"] = sum(card.bytes_sent for card in cards)
        disk = self._psutil.disk_io_counters()
        if disk is not None:  # containers may hide disks
            counts["i/o", "ReadThroughputInBytesPerSecond", ""] = disk.read_bytes
            counts["i/o", "WriteThroughputInBytesPerSecond", ""] = disk.write_bytes
        return counts


class Gpus:
    """The machine's NVIDIA GPUs; empty if NVML finds none."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.note = ""
        self._handles: list[Any] = []
        try:
            import pynvml  # noqa: PLC0415 - only where there is a GPU

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
            self.names = [_text(pynvml.nvmlDeviceGetName(handle)) for handle in self._handles]
        except Exception as error:  # noqa: BLE001 - NVML's errors share no base with Python's
            self.note = f"NVML found no GPU ({type(error).__name__}: {error})"

    def read(self) -> list[Reading]:
        """Utilization of each GPU and of its memory, percent."""
        readings = []
        for number, handle in enumerate(self._handles):
            try:
                busy = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            except self._nvml.NVMLError:  # a GPU that does not report it (MIG) is skipped this time
                continue
            readings.append(Reading("gpu", f"gpu{number}", "GPUUtilization", busy))
            readings.append(Reading("gpu", f"gpu{number}", "GPUMemoryUtilization", 100 * memory.used / memory.total))
        return readings


def _core_times(psutil: Any) -> list[tuple[float, float, float | None]]:
    """Total, idle and I/O wait seconds of each core; the latter None if the system does not report it."""
    times = []
    for core in psutil.cpu_times(percpu=True):
        wait = getattr(core, "iowait", None)
        # Linux includes guests in user and nice.
        total = sum(core) - getattr(core, "guest", 0.0) - getattr(core, "guest_nice", 0.0)
        times.append((total, core.idle, wait))
    return times


def _core_readings(
    before: list[tuple[float, float, float | None]], now: list[tuple[float, float, float | None]]
) -> list[Reading]:
    readings = []
    for number, ((total0, idle0, wait0), (total, idle, wait)) in enumerate(zip(before, now, strict=False)):
        if total <= total0:
            continue
        waited = 0.0 if wait is None or wait0 is None else wait - wait0
        busy = 1 - (idle - idle0 + waited) / (total - total0)
        readings.append(Reading("cpu", f"cpu{number}", "CPUUtilization", _percent(busy)))
        if wait is not None:
            readings.append(Reading("cpu", f"cpu{number}", "I/OWaitPercentage", _percent(waited / (total - total0))))
    return readings


def _percent(share: float) -> float:
    return 100 * min(1.0, max(0.0, share))


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
