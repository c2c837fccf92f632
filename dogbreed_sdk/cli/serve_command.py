"""The command ``serve``: the HTTP service before an endpoint, a bundle or a model server, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import functools
import ipaddress
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.aws.requests.names import NAME
from dogbreed_sdk.cli import models
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one, port
from dogbreed_sdk.cli.output import Outcome, note, say
from dogbreed_sdk.cli.usage import one_of
from dogbreed_sdk.defaults import INVOKE_CONNECTIONS
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.service.api_keys import VARIABLE, ApiKeys
from dogbreed_sdk.service.rate_limits import Rate
from dogbreed_sdk.service.readiness import probe
from dogbreed_sdk.service.settings import ServiceSettings
from training_scripts._util.safe_text import redacted

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier

# What it cannot do without, by the extra that brings it; more where local SageMaker or a bundle is behind it.
PACKAGES: Mapping[str, Sequence[str]] = {"service": ("fastapi", "prometheus_client", "uvicorn")}
_PURPOSE = "serve pictures over HTTP"
# What SageMaker gives a container for an answer (developer guide, "InvokeEndpoint").
_MODEL_SECONDS = 60
_OF_BUNDLES = ("workers", "backend", "code")
_BACKENDS = ("torch", "onnx")
_CODES = ("sdk", "bundle")


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed serve``."""
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("model", nargs="?", metavar="MODEL", help=models.HELP)
    what.add_argument("--endpoint", metavar="NAME", help="ask this endpoint")
    what.add_argument("--bundle", metavar="PATH", help="run this bundle: a folder, or a model.tar.gz")
    what.add_argument("--server", metavar="URL", help="ask the model server at this address")
    command.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s, this machine)")
    command.add_argument("--port", type=port, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    models.add_labels(command)
    _add_access(command.add_argument_group("who may use it (all off by default)"))
    _add_limits(command.add_argument_group("limits"))
    bundle = command.add_argument_group("with a bundle, or a job")
    bundle.add_argument("--workers", type=at_least_one, metavar="N", help="processes that answer (default: 1)")
    bundle.add_argument("--backend", type=one_of(_BACKENDS), choices=_BACKENDS, help="what computes (default: torch)")
    bundle.add_argument(
        "--code", type=one_of(_CODES), choices=_CODES, help="bundle: run the bundle's own inference.py, if you trust it"
    )


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--api-keys-file", type=Path, metavar="FILE", help=f"API keys, one a line (or ${VARIABLE}); mode 600"
    )
    group.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page's origin that may call it; * for all",
    )
    group.add_argument("--rate", metavar="N/PERIOD", help="pictures per key or address: 60/minute, 5/second, …")
    group.add_argument(
        "--trusted-proxy",
        action="append",
        type=_network,
        default=[],
        metavar="ADDRESS",
        help="whose X-Forwarded-For is believed: an address, or a network",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    default = ServiceSettings()
    group.add_argument(
        "--max-concurrency",
        type=at_least_one,
        default=default.max_concurrency,
        metavar="N",
        help=f"pictures asked about at a time, up to {INVOKE_CONNECTIONS} (default: %(default)s)",
    )
    group.add_argument(
        "--max-waiting",
        type=int,
        default=default.max_waiting,
        metavar="N",
        help="pictures that wait for that; more get 503 (default: %(default)s)",
    )
    group.add_argument(
        "--deadline",
        type=float,
        default=default.deadline_seconds,
        metavar="SECONDS",
        help="the longest an answer takes (default: %(default)s)",
    )
    group.add_argument(
        "--max-body-mb",
        type=at_least_one,
        default=default.max_body_bytes // 2**20,
        metavar="MB",
        help="the largest picture (default: %(default)s)",
    )
    group.add_argument(
        "--max-connections-per-address",
        type=at_least_one,
        default=default.max_connections_per_address,
        metavar="N",
        help="connections from one address, unless it is a trusted proxy's (default: %(default)s)",
    )
    group.add_argument("--no-urls", action="store_true", help="fetch no pictures from URLs")
    group.add_argument(
        "--allowed-host", action="append", metavar="HOST", help="fetch pictures only from here (default: public hosts)"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Serves until it is interrupted."""
    with contextlib.ExitStack() as kept:
        return _serve(options if options.model is None else _named(options, kept))


def _named(options: argparse.Namespace, kept: contextlib.ExitStack) -> argparse.Namespace:
    """The options with the --endpoint, --bundle or --server that MODEL names.

    Args:
        options: As given.
        kept: Holds a copy of a job's model for as long as it is served.
    """
    optional.require(PACKAGES, purpose=_PURPOSE)
    model = kept.enter_context(models.found(options.model, options))
    if model.kind == "endpoint":
        kept.close()  # the session has decided what the name is, and each service has its own
        return argparse.Namespace(**{**vars(options), "endpoint": model.address})
    nowhere = dict.fromkeys(("aws", *read.OF_AWS, "root"))
    return argparse.Namespace(**{**vars(options), **nowhere, model.kind: model.address})


def _serve(options: argparse.Namespace) -> Outcome:
    _check(options)
    settings = _settings(options)
    tell = _event if options.json or not sys.stderr.isatty() else note
    warn = functools.partial(_event, level="warning") if tell is _event else note
    server = optional.load("dogbreed_sdk.service.server", extra="service", purpose=_PURPOSE)
    app = optional.load("dogbreed_sdk.service.app", extra="service", purpose=_PURPOSE)
    # Whenever the interruption comes, whatever was started is left properly.
    with (
        contextlib.suppress(KeyboardInterrupt),
        server.listen(options.host, options.port) as listener,
        _classifier(options, tell) as classifier,
    ):
        server.log_to_stderr()
        _announce(options, server.url_of(listener), settings, tell)
        running = server.make_server(
            app.create_app(classifier, settings),
            deadline_seconds=settings.deadline_seconds,
            trusted_proxies=options.trusted_proxy,
            limits=server.ConnectionLimits(
                per_address=settings.max_connections_per_address, proxies=options.trusted_proxy
            ),
            at_start=lambda: _look(options, classifier, warn),
        )
        running.run(sockets=[listener])
    tell("stopped")
    return Outcome(None, say(), quiet=True)


def _check(options: argparse.Namespace) -> None:
    """Refuses what cannot be meant, and what could not be done, before anything is started.

    Raises:
        ConfigurationError: Options contradict each other or would be ignored, or packages are missing.
    """
    given = [name for name in _OF_BUNDLES if getattr(options, name)]
    if given and not options.bundle:
        raise ConfigurationError(f"--{given[0]} goes with a bundle.")
    if options.endpoint is None:
        read.refuse_place(options, "--server" if options.server else "--bundle")
    elif not NAME.fullmatch(options.endpoint):
        raise ConfigurationError(
            f"{redacted(options.endpoint)!r} is no endpoint's name; a model server's URL goes to --server, a bundle to "
            "--bundle."
        )
    if options.no_urls and options.allowed_host:
        raise ConfigurationError("--no-urls fetches nothing, and --allowed-host names what to fetch from: give one.")
    packages = _packages(options)
    instead = read.ADD_AWS if options.endpoint and "local" in packages else ""
    optional.require(packages, purpose=_PURPOSE, otherwise=instead)


def _packages(options: argparse.Namespace) -> Mapping[str, Sequence[str]]:
    """What it cannot do without, by the extra that brings it."""
    if options.bundle:
        return {**PACKAGES, "local": ("psutil", "starlette", "torch")}
    if options.endpoint and not options.aws:
        return {**PACKAGES, "local": read.LOCAL_PACKAGES}
    return PACKAGES


def _event(line: str, level: str = "info") -> None:
    server = optional.load("dogbreed_sdk.service.server", extra="service", purpose=_PURPOSE)
    note(server.event_line(line, level=level))


async def _look(options: argparse.Namespace, classifier: AsyncBreedClassifier, warn: Callable[[str], None]) -> None:
    """Says so where nobody answers behind the service, which may be a wrong name, or may come."""
    if options.bundle:  # its model is loaded already
        return
    if options.server:
        asked = f"the model server {options.server}"
    else:
        asked = f"endpoint {options.endpoint} of {'AWS' if options.aws else f'local SageMaker in {read.root(options)}'}"
    try:
        await probe(classifier)
    except DogBreedError as error:
        reason = " ".join(str(error).split())
        warn(f"not ready: {asked} does not answer; requests fail until it does. {reason}")


def _settings(options: argparse.Namespace) -> ServiceSettings:
    keys = _api_keys(options.api_keys_file)
    return ServiceSettings(
        api_keys=keys,
        cors_origins=tuple(options.cors_origin),
        rate=Rate.parse(options.rate) if options.rate else None,
        max_concurrency=options.max_concurrency,
        max_waiting=options.max_waiting,
        deadline_seconds=options.deadline,
        max_body_bytes=options.max_body_mb * 2**20,
        max_connections_per_address=options.max_connections_per_address,
        allow_urls=not options.no_urls,
        # Pages have no key; and behind a proxy, names are the proxy's business.
        local_only=is_loopback(options.host) and keys is None and not options.trusted_proxy,
    )


def _api_keys(path: Path | None) -> ApiKeys | None:
    # Taken out of the environment: the model server and whatever it starts need not know them.
    text = os.environ.pop(VARIABLE, None)
    if path is not None:
        return ApiKeys.from_file(path)
    return None if text is None else ApiKeys.from_text(text)


@contextlib.contextmanager
def _classifier(options: argparse.Namespace, tell: Callable[[str], None]) -> Iterator[AsyncBreedClassifier]:
    """Who is asked, and what it needs, for as long as the service runs."""
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier  # noqa: PLC0415 - only this command needs it

    common: Any = {
        "labels": read.labels(options.labels),
        "allowed_hosts": options.allowed_host,
        # Without these, a classifier's own limits of about a minute would end what has longer.
        "deadline": options.deadline,
        "read_timeout": options.deadline,
    }
    if options.server:
        yield AsyncBreedClassifier.from_server(options.server, **common)
    elif options.endpoint:
        with read.session(options) as session:
            _ = session.boto3_session  # a place that is not there is an error now, and not with every request
            yield AsyncBreedClassifier(options.endpoint, session=session, **common)
    else:
        loaded = optional.load("dogbreed_sdk.service.bundle_server", extra="local", purpose="run a bundle here")
        with loaded.BundleServer(
            options.bundle,
            workers=options.workers or 1,
            backend=options.backend or "torch",
            code=options.code or "sdk",
            # Nobody waits longer; only a model that hangs takes so long, and nothing else ends it.
            timeout_seconds=max(_MODEL_SECONDS, math.ceil(options.deadline)),
            status=tell,
        ) as bundle:
            yield AsyncBreedClassifier.from_transport(bundle.transport, **common)


def _announce(options: argparse.Namespace, url: str, settings: ServiceSettings, tell: Callable[[str], None]) -> None:
    key = " -H 'X-API-Key: KEY'" if settings.api_keys else ""
    tell(f"web page: {url}/  documentation: {url}/docs  (end it with Ctrl-C)")
    tell(f"try it: curl --data-binary @rex.jpg -H 'Content-Type: image/jpeg'{key} {url}/v1/classify")
    if not settings.api_keys and not is_loopback(options.host):
        tell(f"whoever reaches {options.host} may use it: give --api-keys-file to ask for keys")
    if options.json:
        print(json.dumps({"url": url}), flush=True)


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"write an address or a network, as 10.0.0.0/8: {error}") from None
    return text
