"""The cost of computing the features that a job trains on: pictures per second, decoding, network, operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dogbreed_sdk._util.formatting import clipped, number, percent, plain, seconds
from dogbreed_sdk.debugging.operators import OperatorCost, costliest
from training_scripts._util.number_text import counted
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.recording.profile.profile import Operator

MOST_OPERATORS = 20
TOP_OPERATORS = 3
# Decoding is the bottleneck if the network waits for this share of a pass.
HELD_UP = 0.3
_MOST = 2.0**53


@dataclass(frozen=True)
class FeaturePassCost:
    """The cost of one feature pass.

    Attributes:
        job: The job that computed them; empty if unknown.
        backbone: The network.
        pictures: Number of pictures.
        views: Number of views.
        computed_earlier: Pictures that an interrupted process had computed before, whose cost is unknown.
        seconds: Wall time.
        forward: Seconds of it in the network.
        waiting: Seconds of it waiting for decoded pictures.
        decoding: Seconds of decoding in all threads, mostly while the network was busy.
        workers: Decoding threads; None if unknown.
        cores: CPU cores of the machine; None if unknown.
        device: cuda or cpu.
        operators: Operators of a few batches, most expensive first.
        operators_note: Why there are no operators.
        engine: What ran the network, such as "ONNX Runtime, fp32"; empty if unknown.
    """

    job: str
    backbone: str
    pictures: int
    views: int
    computed_earlier: int
    seconds: float
    forward: float
    waiting: float
    decoding: float
    workers: int | None
    cores: int | None
    device: str
    operators: tuple[Operator, ...]
    operators_note: str
    engine: str = ""

    @property
    def pictures_per_second(self) -> float | None:
        """Speed of the pass."""
        return self.pictures / self.seconds if self.seconds > 0 else None

    @property
    def is_held_up_by_decoding(self) -> bool:
        """Whether the network waited for pictures for a large share of the time."""
        return self.waiting > HELD_UP * self.seconds > 0

    @property
    def advice(self) -> str:
        """How to make it faster; empty without simple advice."""
        if not self.is_held_up_by_decoding:
            return ""
        if self.workers and self.cores and self.workers >= self.cores:
            return (
                "Decoding is the bottleneck, on every core: choose an instance with more cores, or shrink large "
                "photographs before uploading them."
            )
        return (
            "Decoding is the bottleneck: raise workers (--workers), up to the number of cores, or shrink large "
            "photographs before uploading them."
        )

    def costliest_operators(self, limit: int = TOP_OPERATORS) -> list[OperatorCost]:
        """The backbone's most expensive operators, with their shares of its time and what to do about them.

        Args:
            limit: How many at most; there are none if they were not profiled, and ``operators_note`` says why.
        """
        return costliest(self.operators, limit)

    def to_dict(self) -> dict[str, Any]:
        """The cost as plain values for JSON."""
        document: dict[str, Any] = plain(
            {
                **asdict(self),
                "pictures_per_second": self.pictures_per_second,
                "costliest_operators": [asdict(each) for each in self.costliest_operators()],
                "advice": self.advice,
            }
        )
        return document

    def headline(self) -> str:
        """The pass in one sentence."""
        speed = f", {number(self.pictures_per_second, digits=3)} pictures/s" if self.pictures_per_second else ""
        views = f" ({counted(self.views, 'view')})" if self.views > self.pictures else ""
        through = f" through {self.backbone}" if self.backbone else ""
        return f"{counted(self.pictures, 'picture')}{views}{through} in {seconds(self.seconds)}{speed}."

    def parts(self) -> Iterator[tuple[str, float]]:
        """Yields the parts of the wall time, and their seconds."""
        yield "Network", self.forward
        yield "Waiting for decoded pictures", self.waiting

    def lines(self) -> Iterator[str]:
        """The pass in sentences, most important first."""
        where = ", ".join(
            filter(
                None,
                (
                    f"job {self.job}" if self.job else "",
                    self.engine,
                    self.device,
                    counted(self.cores, "core") if self.cores else "",
                ),
            )
        )
        yield f"{self.headline().removesuffix('.')}{f' ({where})' if where else ''}."
        if self.seconds > 0:
            shares = [
                f"{name.lower()} {seconds(spent)} ({percent(spent / self.seconds)})" for name, spent in self.parts()
            ]
            threads = f" in {counted(self.workers, 'thread')}" if self.workers else ""
            decoding = f"decoding took {seconds(self.decoding)}{threads}, in parallel with the network"
            yield f"Of that: {', '.join(shares)}; {decoding}."
        if self.operators:
            top = ", ".join(f"{one.name} {percent(one.share)}" for one in self.costliest_operators())
            yield f"Most expensive operators: {top}."
        elif self.operators_note:
            yield self.operators_note
        if self.computed_earlier:
            yield (
                f"{number(self.computed_earlier)} more pictures were computed by a process that was interrupted; "
                "their cost is unknown."
            )


def feature_pass_cost(facts: Mapping[str, object] | None) -> FeaturePassCost | None:
    """Reads the cost of a pass from its recorded facts; None if they do not include it."""
    if not isinstance(facts, Mapping) or _amount(facts.get("seconds")) is None or not _count(facts.get("pictures")):
        return None
    return FeaturePassCost(
        job=_text(facts.get("job")),
        backbone=_text(facts.get("backbone")),
        pictures=_count(facts.get("pictures")) or 0,
        views=_count(facts.get("views")) or 0,
        computed_earlier=_count(facts.get("computed_earlier")) or 0,
        seconds=_amount(facts.get("seconds")) or 0.0,
        forward=_amount(facts.get("forward")) or 0.0,
        waiting=_amount(facts.get("waiting")) or 0.0,
        decoding=_amount(facts.get("decoding")) or 0.0,
        workers=_count(facts.get("workers")),
        cores=_count(facts.get("cores")),
        device=_text(facts.get("device")),
        operators=tuple(_operators(facts.get("operators"))),
        operators_note=_text(facts.get("operators_note"), 500),
        engine=str(EngineChoice.from_dict(dict(facts)) or ""),
    )


def _operators(rows: object) -> Iterator[Operator]:
    for row in rows[:MOST_OPERATORS] if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and (cpu := _amount(row.get("cpu_seconds"))) is not None:
            gpu = _amount(row.get("gpu_seconds")) or 0.0
            yield Operator(_text(row.get("name")), _count(row.get("calls")) or 0, cpu, gpu)


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < _MOST else None  # NaN is neither


def _count(value: object) -> int | None:
    found = _amount(value)
    return None if found is None else int(found)


def _text(value: object, limit: int = 200) -> str:
    return clipped(value, limit) if isinstance(value, str) else ""
