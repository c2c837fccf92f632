"""Reads the step times of a profile: the Chrome traces in Debugger's `framework/` folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training_scripts.recording.profile.files import Reader, json_lines, json_or_none, number, short
from training_scripts.recording.profile.profile import Operator, Spans

MOST_PHASES = 200
MOST_OPERATORS = 2000
ENDINGS = ("_pythontimeline.json", "_model_timeline.json")
# A file that smdebug's hook is still writing: an array that is not closed yet.
UNFINISHED = ("_pythontimeline.json.tmp",)
# What workers that train together exchange: each process of the trace is a tensor, each event a phase of its exchange.
EXCHANGES = {"horovod_timeline.json": "Horovod", "smdataparallel_timeline.json": "SMDataParallel"}
TENSORFLOW = ".trace.json.gz"
_Event = Mapping[str, object]
_Span = tuple[int, float, float, int]


@dataclass
class Traces:
    """The content of trace files.

    Attributes:
        phases: Phase -> step number, begin and length in seconds, and node of each span.
        operators: Name -> calls, seconds on the CPU, seconds on GPUs, including the operators that each one calls.
        facts: workers and pin_memory, if a data loader recorded them.
        nodes: In the order of the spans' node numbers.
    """

    phases: dict[str, list[_Span]] = field(default_factory=lambda: defaultdict(list))
    operators: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)

    def spans(self) -> dict[str, Spans]:
        """Phase -> its spans, ordered by time."""
        found = {}
        for phase, rows in self.phases.items():
            table = np.array(sorted(rows, key=lambda row: row[1]), dtype=np.float64)
            steps, nodes = table[:, 0].astype(np.int64), table[:, 3].astype(np.int64)
            found[phase] = Spans(steps, table[:, 1], table[:, 2], nodes)
        return found

    def most_expensive(self) -> tuple[Operator, ...]:
        """The operators, most expensive first."""
        found = [Operator(name, int(calls), cpu, gpu) for name, (calls, cpu, gpu) in self.operators.items()]
        return tuple(sorted(found, key=lambda one: -(one.cpu_seconds + one.gpu_seconds)))


def read_traces(folder: Path, reader: Reader) -> Traces:
    """Reads all trace files.

    Args:
        folder: The folder `framework` of a profile.
        reader: Reads the files and collects problems.
    """
    traces = Traces()
    tensorflow = reader.files(folder, TENSORFLOW)
    if tensorflow:
        reader.problems.add(
            f"TensorFlow's traces are not read ({len(tensorflow)}, the first is {tensorflow[0]}): "
            "open them in TensorBoard."
        )
    for path in reader.files(folder, *ENDINGS, *UNFINISHED, *EXCHANGES):
        text = reader.text(path)
        if text is None:
            continue
        events = json_or_none(text)
        if not isinstance(events, list):
            events = list(json_lines(text))
            state = "is still being written" if path.name.endswith(UNFINISHED) else "is incomplete"
            reader.problems.add(f"{path} {state}; only its complete part was read.")
        node = _node(path.name)
        if node not in traces.nodes:
            traces.nodes.append(node)
        exchange = next((system for ending, system in EXCHANGES.items() if path.name.endswith(ending)), "")
        _File(traces, traces.nodes.index(node), exchange).take(events)
    return traces


def _node(name: str) -> str:
    """The host in a file name `<end>_<process>-<host>_...` or `<process>-<host>_...`."""
    found = re.search(r"algo-\d+", name)
    return found.group() if found else "algo-1"


class _File:
    """Reads one trace file, with its process names and time base.

    Args:
        traces: What is read is added to it.
        node: Index of the file's node.
        exchange: The system whose exchanges between workers the file contains; empty for a file with steps.
    """

    def __init__(self, traces: Traces, node: int, exchange: str = "") -> None:
        self._traces = traces
        self._node = node
        self._exchange = exchange
        self._names: dict[object, str] = {}
        self._base = 0.0
        self._open: dict[int | str, list[tuple[float, str]]] = defaultdict(list)

    def take(self, events: Sequence[object]) -> None:
        """Adds the events to the traces; ignores what is not an event."""
        for event in events:
            if not isinstance(event, Mapping):
                continue
            given = event.get("args")
            arguments: _Event = given if isinstance(given, Mapping) else {}
            kind = event.get("ph")
            if kind == "M":
                self._learn(event, arguments)
            elif isinstance(kind, str) and kind in ("X", "B", "E"):
                for begin, seconds, name in self._passes(event, kind):
                    self._keep(event, arguments, name, begin, seconds)

    def _learn(self, event: _Event, arguments: _Event) -> None:
        base = number(arguments.get("start_time_since_epoch_in_micros"))
        if base is not None:
            self._base = base
        pid = event.get("pid")
        if event.get("name") == "process_name" and "name" in arguments and isinstance(pid, (int, str)):
            self._names[pid] = short(arguments["name"])

    def _passes(self, event: _Event, kind: str) -> Iterator[tuple[float, float, str]]:
        when, pid = number(event.get("ts")), event.get("pid")
        if when is None or not isinstance(pid, (int, str)):
            return
        if kind == "X":
            lasted = number(event.get("dur"))
            if lasted is not None and lasted >= 0:
                yield (self._base + when) / 1e6, lasted / 1e6, short(event.get("name"))
        elif kind == "B":
            self._open[pid].append((when, short(event.get("name"))))
        elif self._open[pid]:
            begin, name = self._open[pid].pop()
            if when >= begin:
                yield (self._base + begin) / 1e6, (when - begin) / 1e6, name

    def _keep(self, event: _Event, arguments: _Event, name: str, begin: float, seconds: float) -> None:
        phase = self._names.get(event.get("pid"), name)
        traces = self._traces
        if self._exchange:
            self._count(f"{self._exchange} {name}", seconds, gpu=False)
            return
        if phase == "cpu_functions" or phase.startswith("gpu_functions"):
            self._count(name, seconds, gpu=phase != "cpu_functions")
            return
        if phase == "DataLoaderIterInitialize":
            for ours, theirs in (("workers", "num_workers"), ("pin_memory", "pin_memory")):
                if isinstance(arguments.get(theirs), (int, bool)):
                    traces.facts[ours] = arguments[theirs]
        if phase in traces.phases or len(traces.phases) < MOST_PHASES:
            step = number(arguments.get("step_num"))
            known = step is not None and 0 <= step < 1 << 53
            traces.phases[phase].append((int(step) if known and step is not None else -1, begin, seconds, self._node))

    def _count(self, name: str, seconds: float, *, gpu: bool) -> None:
        """Adds a call to an operator's; its call is counted where it was made, on the CPU."""
        operators = self._traces.operators
        if name in operators or len(operators) < MOST_OPERATORS:
            operator = operators.setdefault(name, [0.0, 0.0, 0.0])
            operator[0] += not gpu
            operator[2 if gpu else 1] += seconds
