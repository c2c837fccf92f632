"""The command ``serve``: runs the HTTP service for an endpoint, a bundle or a model server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.aws.requests.names import NAME
from dogbreed_sdk.cli import models
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one, network, one_of, port
from dogbreed_sdk.cli.command_line import in_terms_of_commands
from dogbreed_sdk.cli.output import Outcome, note, say
from dogbreed_sdk.defaults import INVOKE_CONNECTIONS
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.service.api_keys import VARIABLE, ApiKeys
from dogbreed_sdk.service.rate_limits import Rate
from dogbreed_sdk.service.readiness import probe
from dogbreed_sdk.service.settings import ServiceSettings
from training_scripts._util.safe_text import redacted

if TYPE_CHECKING:
    from fastapi import FastAPI

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.service.bundle_server import BundleServer

# The packages it needs, by the extra that installs them; local SageMaker and bundles need more.
PACKAGES: Mapping[str, Sequence[str]] = {"service": ("fastapi", "prometheus_client", "uvicorn")}
_PURPOSE = "serve a model over HTTP"
# The time that SageMaker gives a container to answer (developer guide, "InvokeEndpoint").
_MODEL_SECONDS = 60
_OF_BUNDLES = ("workers", "backend", "code")
_BACKENDS = ("auto", "torch", "onnx")
_CODES = ("sdk", "bundle")


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed serve``."""
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("model", nargs="?", metavar="MODEL", help=models.HELP)
    what.add_argument("--endpoint", metavar="NAME", help="serve this endpoint")
    what.add_argument("--bundle", metavar="PATH", help="serve this bundle: a folder, or a model.tar.gz")
    what.add_argument("--server", metavar="URL", help="serve the model server at this URL")
    command.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    command.add_argument(
        "--port", type=port, default=8000, help="port to listen on; 0 picks a free one (default: %(default)s)"
    )
    models.add_labels(command)
    _add_page(command.add_argument_group("web page"))
    _add_access(command.add_argument_group("access control (off by default)"))
    _add_limits(command.add_argument_group("limits"))
    bundle = command.add_argument_group("options for a bundle or a job's model")
    bundle.add_argument(
        "--workers",
        type=at_least_one,
        metavar="N",
        help="number of model processes; one per core is fast, each needs about 0.7 GB (default: 1)",
    )
    bundle.add_argument(
        "--backend",
        type=one_of(_BACKENDS),
        choices=_BACKENDS,
        help="library that runs the model; onnx needs the extra onnx (default: auto, which is onnx where it is "
        "installed and gives the same results, else torch)",
    )
    bundle.add_argument(
        "--code",
        type=one_of(_CODES),
        choices=_CODES,
        help="sdk: run this SDK's code (default); bundle: run the bundle's own inference.py, if you trust it",
    )


def _add_page(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--title", metavar="TEXT", help="heading of the web page (default: a question that suits the model's classes)"
    )
    group.add_argument(
        "--examples",
        type=Path,
        metavar="DIR",
        help="pictures that the web page offers to try, re-encoded without camera data; they need no API key "
        "to be seen",
    )


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--api-keys-file",
        type=Path,
        metavar="FILE",
        help="require an API key from this file, which has one of at least 16 characters per line, and to which only "
        f"its owner has access: mode 600 or 400 (or set ${VARIABLE}, separated by commas)",
    )
    group.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let web pages of this origin, such as https://app.example, call the service; * for all origins; can "
        "be repeated",
    )
    group.add_argument(
        "--rate",
        metavar="N/PERIOD",
        help="limit the pictures per API key, or per address if there are no keys: 60/minute, 5/second, 1000/hour; all "
        "of them may come at once",
    )
    group.add_argument(
        "--trusted-proxy",
        action="append",
        type=network,
        default=[],
        metavar="ADDRESS",
        help="trust the X-Forwarded-For and X-Forwarded-Proto headers of this address or network, and accept any name "
        "in Host; can be repeated",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    default = ServiceSettings()
    group.add_argument(
        "--max-concurrency",
        type=at_least_one,
        default=default.max_concurrency,
        metavar="N",
        help=f"pictures sent to the model at the same time, up to {INVOKE_CONNECTIONS}, at most half of them "
        "from URLs (default: %(default)s)",
    )
    group.add_argument(
        "--max-waiting",
        type=int,
        default=default.max_waiting,
        metavar="N",
        help="pictures that may wait for that; more get status 503 (default: %(default)s)",
    )
    group.add_argument(
        "--deadline",
        type=float,
        default=default.deadline_seconds,
        metavar="SECONDS",
        help="time from the end of a request to its response; then status 504 (default: %(default)s)",
    )
    group.add_argument(
        "--max-body-mb",
        type=at_least_one,
        default=default.max_body_bytes // 2**20,
        metavar="MB",
        help="largest picture in MiB; a batch may have 100 MiB, all requests together 512 MiB (default: %(default)s)",
    )
    group.add_argument(
        "--max-connections-per-address",
        type=at_least_one,
        default=default.max_connections_per_address,
        metavar="N",
        help="connections from one address, or IPv6 network of 64 bits, of 512 in all; a trusted proxy's do not count "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--no-urls", action="store_true", help="do not fetch pictures from URLs; excludes --allowed-host"
    )
    group.add_argument(
        "--allowed-host",
        action="append",
        metavar="HOST",
        help="fetch pictures only from this host; can be repeated (default: all public hosts)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Serves until Ctrl-C or SIGTERM."""
    with contextlib.ExitStack() as stack:
        return _serve(options if options.model is None else _resolved(options, stack))


def _resolved(options: argparse.Namespace, stack: contextlib.ExitStack) -> argparse.Namespace:
    """The options, with --endpoint, --bundle or --server in place of MODEL.

    Args:
        options: The command's.
        stack: Keeps the copy of a job's model while it is served.
    """
    optional.require(PACKAGES, purpose=_PURPOSE)
    model = stack.enter_context(models.found(options.model, options))
    if model.kind == "endpoint":
        stack.close()  # this session only looked the name up; the service opens another one
        return argparse.Namespace(**{**vars(options), "endpoint": model.address})
    nowhere = dict.fromkeys(("aws", *read.OF_AWS, "root"))
    return argparse.Namespace(**{**vars(options), **nowhere, model.kind: model.address})


def _serve(options: argparse.Namespace) -> Outcome:
    _check(options)
    settings = _settings(options)
    with optional.needed(extra="service", purpose=_PURPOSE):
        from dogbreed_sdk.service import server  # noqa: PLC0415

    # FastAPI takes half a second to load: meanwhile, the model server loads the model.
    threading.Thread(target=_begin_to_load_app, name="load-app", daemon=True).start()
    inform, warn = _printers(options)
    # Whenever the interruption comes, everything that was started is closed properly.
    with (
        contextlib.suppress(KeyboardInterrupt),
        server.listen(options.host, options.port) as listener,
        _classifier(options, inform) as classifier,
    ):
        server.log_to_stderr(lambda message: _reworded(message, options))
        create_app = _load_app()
        _announce(options, server.url_of(listener), settings, inform)
        running = server.make_server(
            create_app(classifier, settings),
            deadline_seconds=settings.deadline_seconds,
            trusted_proxies=options.trusted_proxy,
            limits=server.ConnectionLimits(
                per_address=settings.max_connections_per_address, proxies=options.trusted_proxy
            ),
            at_start=lambda: _warn_unless_ready(options, classifier, warn),
        )
        running.run(sockets=[listener])
    inform("stopped")
    return Outcome(None, say(), quiet=True)


def _begin_to_load_app() -> None:
    with contextlib.suppress(ImportError, ConfigurationError):  # which the second attempt reports
        _load_app()


def _load_app() -> Callable[[AsyncBreedClassifier, ServiceSettings], FastAPI]:
    """The function that makes the application; importing it again waits for the thread that has begun to."""
    with optional.needed(extra="service", purpose=_PURPOSE):
        from dogbreed_sdk.service.app import create_app  # noqa: PLC0415
    return create_app


def _check(options: argparse.Namespace) -> None:
    """Refuses contradictory options, and missing packages, before anything is started.

    Raises:
        ConfigurationError: Options contradict each other or would be ignored, or packages are missing.
    """
    given = [name for name in _OF_BUNDLES if getattr(options, name)]
    if given and not options.bundle:
        raise ConfigurationError(f"--{given[0]} applies only to bundles and jobs' models.")
    if options.endpoint is None:
        read.refuse_place(options, "--server" if options.server else "--bundle")
    elif not NAME.fullmatch(options.endpoint):
        raise ConfigurationError(
            f"{redacted(options.endpoint)!r} is not a valid endpoint name; pass a model server's URL with --server, a "
            "bundle's path with --bundle."
        )
    if options.no_urls and options.allowed_host:
        raise ConfigurationError("--no-urls and --allowed-host contradict each other: pass only one of them.")
    packages = _packages(options)
    instead = read.ADD_AWS if options.endpoint and "local" in packages else ""
    optional.require(packages, purpose=_PURPOSE, otherwise=instead)


def _packages(options: argparse.Namespace) -> Mapping[str, Sequence[str]]:
    """The packages that are needed, by the extra that installs them."""
    if options.bundle:
        return {**PACKAGES, "local": ("psutil", "starlette", "torch")}
    if options.endpoint and not options.aws:
        return {**PACKAGES, "local": read.LOCAL_PACKAGES}
    return PACKAGES


def _printers(options: argparse.Namespace) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Functions that print information and warnings: plain lines on a terminal, else lines of the JSON log."""
    if sys.stderr.isatty() and not options.json:
        return note, note
    from dogbreed_sdk.service.server import event_line  # noqa: PLC0415 - imported before

    return lambda line: note(event_line(line)), lambda line: note(event_line(line, level="warning"))


async def _warn_unless_ready(
    options: argparse.Namespace, classifier: AsyncBreedClassifier, warn: Callable[[str], None]
) -> None:
    """Warns if the endpoint or model server does not answer: its name may be wrong, or it may start later."""
    if options.bundle:  # its model is loaded already; the page's question depends on its classes
        with contextlib.suppress(DogBreedError):
            await classifier.labels()
        return
    if options.server:
        target = f"the model server {options.server}"
    else:
        place = "AWS" if options.aws else f"local SageMaker in {read.root(options)}"
        target = f"endpoint {options.endpoint} on {place}"
    try:
        await probe(classifier)
    except DogBreedError as error:
        reason = _reworded(str(error), options)
        warn(f"not ready: {target} does not answer; requests fail until it does. {reason}")


def _reworded(message: str, options: argparse.Namespace) -> str:
    """A message of the library on one line, in the command line's terms."""
    return " ".join(in_terms_of_commands(message, options).split())


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
        title=options.title,
        examples=options.examples,
        # Web pages do not know the keys; and behind a proxy, the proxy decides which names are served.
        local_only=is_loopback(options.host) and keys is None and not options.trusted_proxy,
    )


def _api_keys(path: Path | None) -> ApiKeys | None:
    # Removed from the environment: the model server and its processes must not inherit them.
    text = os.environ.pop(VARIABLE, None)
    if path is not None:
        return ApiKeys.from_file(path)
    return None if text is None else ApiKeys.from_text(text)


@contextlib.contextmanager
def _classifier(options: argparse.Namespace, inform: Callable[[str], None]) -> Iterator[AsyncBreedClassifier]:
    """The classifier behind the service; a bundle's model server runs within the block."""
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier  # noqa: PLC0415 - only this command needs it

    with contextlib.ExitStack() as stack:
        labels = read.labels(options.labels)
        if options.server:
            classifier = AsyncBreedClassifier.from_server(options.server, labels=labels)
        elif options.endpoint:
            session = stack.enter_context(read.session(options))
            session.client("sagemaker-runtime")  # a missing folder or region is an error now, not with every request
            classifier = AsyncBreedClassifier(options.endpoint, session=session, labels=labels)
        else:
            transport = stack.enter_context(_bundle_server(options, inform)).transport
            classifier = AsyncBreedClassifier.from_transport(transport, labels=labels)
        # The classifier's default limits of about a minute must not end requests that have longer.
        yield classifier.with_options(
            allowed_hosts=options.allowed_host, deadline=options.deadline, read_timeout=options.deadline
        )


def _bundle_server(options: argparse.Namespace, inform: Callable[[str], None]) -> BundleServer:
    with optional.needed(extra="local", purpose="run a bundle on this machine"):
        from dogbreed_sdk.service.bundle_server import BundleServer  # noqa: PLC0415

    return BundleServer(
        options.bundle,
        workers=options.workers or 1,
        backend=options.backend or "auto",
        code=options.code or "sdk",
        # No client waits longer, so a model that takes longer hangs, and nothing else would end it.
        timeout_seconds=max(_MODEL_SECONDS, math.ceil(options.deadline)),
        status=inform,
    )


def _announce(options: argparse.Namespace, url: str, settings: ServiceSettings, inform: Callable[[str], None]) -> None:
    key = " -H 'X-API-Key: KEY'" if settings.api_keys else ""
    inform(f"web page: {url}/  documentation: {url}/docs  (press Ctrl-C to stop)")
    inform(f"try it: curl --data-binary @rex.jpg -H 'Content-Type: image/jpeg'{key} {url}/v1/classify")
    if not settings.api_keys and not is_loopback(options.host):
        inform(f"anyone who can reach {options.host} can use the service; pass --api-keys-file to require API keys")
    if options.json:
        print(json.dumps({"url": url}), flush=True)
