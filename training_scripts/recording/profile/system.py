"""Reads the system metrics of a profile: Debugger's `system/` folder."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted
from training_scripts.recording.profile.files import Reader, json_lines, json_or_none, number, short
from training_scripts.recording.profile.profile import CPU, CPU_MEMORY, DISK, GPU, GPU_MEMORY, IO_WAIT, NETWORK, Metric

_DIMENSIONS = {
    "CPUUtilization": CPU,
    "I/OWaitPercentage": IO_WAIT,
    "GPUUtilization": GPU,
    "GPUMemoryUtilization": GPU_MEMORY,
}
_SUMMED = (NETWORK, DISK)
_ORDER = (CPU, CPU_MEMORY, GPU, GPU_MEMORY, IO_WAIT, NETWORK, DISK)
MOST_DEVICES = 4096
# Devices are aligned with the one that was sampled most often; a limit keeps many devices from filling the memory.
MOST_VALUES = 20_000_000
_Samples = dict[str, dict[str, dict[str, list[tuple[float, float]]]]]


def read_system(folder: Path, reader: Reader) -> dict[str, dict[str, Metric]]:
    """Reads the system metrics: node -> metric -> values.

    Args:
        folder: The folder `system` of a profile.
        reader: Reads the files and collects problems.
    """
    samples: _Samples = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for path in reader.files(folder, ".json"):
        text = reader.text(path)
        if text is None:
            continue
        broken = sum(not _take(event, samples) for event in _events(text))
        if broken:
            reader.problems.add(f"{path}: {counted(broken, 'line')} left out, not samples.")
    return {
        node: {name: _metric(name, metrics[name], reader) for name in _ORDER if name in metrics}
        for node, metrics in sorted(samples.items(), key=lambda item: (len(item[0]), item[0]))
    }


def _events(text: str) -> list[object]:
    """Parses all lines at once, which is fast; one by one if one of them is invalid."""
    lines = text.split("\n")
    if not text.endswith("\n"):
        lines = lines if json_or_none(lines[-1]) is not None else lines[:-1]  # the last line is still being written
    whole = json_or_none("[" + ",".join(line for line in lines if line.strip()) + "]")
    return whole if isinstance(whole, list) else list(json_lines("\n".join(lines)))


def _take(event: object, samples: _Samples) -> bool:
    if not isinstance(event, Mapping):
        return False
    value, when = number(event.get("Value")), number(event.get("Timestamp"))
    if value is None or when is None or when < 0:
        return False
    metric, device = _classify(short(event.get("Type")), short(event.get("Name")), short(event.get("Dimension")))
    if metric:
        devices = samples[short(event.get("NodeId") or "algo-1")][metric]
        if device in devices or len(devices) < MOST_DEVICES:
            devices[device].append((when, value))
    return True


def _classify(kind: str, name: str, dimension: str) -> tuple[str, str]:
    """Our metric of an event, and the device; AWS identifies memory, disk and network by name."""
    if dimension in _DIMENSIONS:
        return _DIMENSIONS[dimension], name
    if "MemoryUsedPercent" in (name, dimension):
        return CPU_MEMORY, ""
    if name in ("ReadThroughputInBytesPerSecond", "WriteThroughputInBytesPerSecond"):
        return DISK, name.partition("Throughput")[0].lower()
    # The platform's own traffic, such as downloading data, is not the algorithm's.
    if kind == "network" and dimension == "Algorithm":
        return NETWORK, name.partition("Bytes")[0].lower()
    return "", ""


def _metric(name: str, devices: Mapping[str, list[tuple[float, float]]], reader: Reader) -> Metric:
    series = {device: _series(samples) for device, samples in sorted(devices.items(), key=_natural)}
    times = max((times for times, _ in series.values()), key=len)
    most = max(1, MOST_VALUES // len(times))
    if len(series) > most:
        left_out = len(series) - most
        reader.problems.add(f"{left_out} of {len(series)} devices of {name} were left out: there are too many.")
    aligned = {device: _at(times, *one) for device, one in itertools.islice(series.items(), most)}
    table = np.stack(list(aligned.values()))
    known = ~np.isnan(table)
    totals = np.where(known, table, 0.0).sum(axis=0)
    values = totals if name in _SUMMED else totals / known.sum(axis=0)
    return Metric(times, values, aligned if len(aligned) > 1 else {})


def _natural(item: tuple[str, object]) -> tuple[int, str]:
    return len(item[0]), item[0]


def _series(samples: list[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = np.array(samples, dtype=np.float64)
    times, first = np.unique(table[:, 0], return_index=True)
    return times, table[first, 1]


def _at(wanted: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value nearest to each wanted time; NaN if none is near. AWS samples devices moments apart."""
    if len(times) == len(wanted) and np.array_equal(times, wanted):
        return values
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    nearest = np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)
    tolerance = float(np.median(np.diff(wanted))) / 2 if len(wanted) > 1 else np.inf
    return np.where(np.abs(times[nearest] - wanted) <= tolerance, values[nearest], np.nan)
