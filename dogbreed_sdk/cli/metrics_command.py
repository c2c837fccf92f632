"""The command ``metrics``: an endpoint's requests, errors, latencies and the use of its instances."""

from __future__ import annotations

import argparse

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import Outcome, print_table, say
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.metrics import EndpointMetrics, Latency, MetricsPoint, Utilization

_COLUMNS = ("from", "requests", "refused", "failed", "average", "p50", "p90", "p99", "overhead", "CPU", "memory")


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed metrics``."""
    command.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    command.add_argument("--since", default="1h", metavar="TIME", help="how far back: 30min, 7d (default: 1h)")
    command.add_argument("--period", metavar="TIME", help="length of the periods, whole minutes (default: chosen)")


def run(options: argparse.Namespace) -> Outcome:
    """Shows an endpoint's metrics by production variant and period."""
    with read.sagemaker(options) as session:
        metrics = Deployment(options.endpoint, session).metrics(since=options.since, period=options.period)
    return Outcome({"name": metrics.endpoint_name, **metrics.to_dict()}, lambda: _print(metrics))


def _print(metrics: EndpointMetrics) -> None:
    if not metrics.invocations:
        say(f"no requests to endpoint {metrics.endpoint_name} since {metrics.start:%Y-%m-%d %H:%M} UTC")()
    for variant in metrics.variants:
        if variant.points:
            rows = [_row(f"{point.start:%m-%d %H:%M}", point) for point in variant.points]
            title = f"endpoint {metrics.endpoint_name}, variant {variant.variant} (times in UTC, latencies in ms)"
            print_table(_COLUMNS, [*rows, _row("total", variant.total)], title=title)


def _row(name: str, point: MetricsPoint) -> tuple[object, ...]:
    return (
        name,
        point.invocations,
        point.client_errors,
        point.server_errors,
        *_latencies(point.model_latency),
        f"{point.overhead_latency.average:.1f}" if point.overhead_latency else "",
        _percent(point.cpu),
        _percent(point.memory),
    )


def _latencies(latency: Latency | None) -> tuple[str, ...]:
    if latency is None:
        return ("",) * 4
    return tuple(f"{value:.1f}" for value in (latency.average, latency.p50, latency.p90, latency.p99))


def _percent(used: Utilization | None) -> str:
    return "" if used is None else f"{used.average:.0f}%"
