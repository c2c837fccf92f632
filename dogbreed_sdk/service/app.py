"""create_app: the whole service around a classifier, ready to be served or mounted."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.service import openapi
from dogbreed_sdk.service.admission import Overloaded, Slots
from dogbreed_sdk.service.auth import Guard
from dogbreed_sdk.service.inference import Answering
from dogbreed_sdk.service.local_only import LocalOnly
from dogbreed_sdk.service.metrics import Metrics
from dogbreed_sdk.service.middleware import CLIENT_LEFT, LastResort, Observed, logged_problem, problem_response
from dogbreed_sdk.service.problems import Problem, ProblemError, of_status
from dogbreed_sdk.service.readiness import Readiness, probe
from dogbreed_sdk.service.request_bodies import invalid
from dogbreed_sdk.service.routes import ApiRoutes, OwnRoutes
from dogbreed_sdk.service.settings import ServiceSettings

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier

TITLE = "Dog breeds"


def create_app(classifier: AsyncBreedClassifier, settings: ServiceSettings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        classifier: Who is asked; closing it is the caller's business.
        settings: Limits and options; the defaults suit a machine that is reached by its own apps.

    Returns:
        An application to give to uvicorn, or to mount in one of your own: ``app.mount("/dogs", create_app(...))``.
        Its limits on connections and headers belong to ``dogbreed serve``; under another server they are that one's.

    Example:
        >>> from dogbreed_sdk import AsyncBreedClassifier
        >>> from dogbreed_sdk.service import ServiceSettings, create_app
        >>> app = create_app(AsyncBreedClassifier("dog-breeds"), ServiceSettings(max_waiting=16))  # doctest: +SKIP
    """
    settings = settings or ServiceSettings()
    # Threads that still work for a request that was given up end with its deadline.
    classifier = classifier.with_options(
        deadline=min(classifier.options.deadline, settings.deadline_seconds),
        read_timeout=min(classifier.options.read_timeout, settings.deadline_seconds),
    )
    slots = Slots(places=settings.max_concurrency, queue=settings.max_waiting, buffer=settings.max_buffered_bytes)
    metrics = Metrics(slots)
    readiness = Readiness(functools.partial(probe, classifier), good_for=settings.ready_seconds)
    answering = Answering(
        classifier,
        slots=slots,
        fetching=Slots(places=max(1, settings.max_concurrency // 2), queue=settings.max_waiting, buffer=0),
        metrics=metrics,
        readiness=readiness,
        seconds=settings.deadline_seconds,
    )
    api = ApiRoutes(
        classifier,
        settings=settings,
        slots=slots,
        answering=answering,
        guard=Guard(settings),
    )
    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(api.router())
    app.include_router(OwnRoutes(readiness=readiness, metrics=metrics).router())
    _describe(app)
    _answer_problems(app, metrics)
    _wrap(app, settings, metrics)
    return app


def _describe(app: FastAPI) -> None:
    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.document(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _answer_problems(app: FastAPI, metrics: Metrics) -> None:
    """Has every exception that is expected answered as a problem."""

    def answer(request: Request, problem: Problem) -> Response:
        metrics.problem(problem.kind)
        return problem_response(problem, request.state.request_id)

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        response = answer(request, error.problem)
        if error.problem.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    async def on_sdk_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, DogBreedError)
        return answer(request, logged_problem(error, request.state.request_id))

    async def on_overload(request: Request, error: Exception) -> Response:
        assert isinstance(error, Overloaded)
        detail = "More requests are waiting than this service allows."
        return answer(request, Problem("overloaded", detail, retry_after=error.retry_after))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = answer(request, of_status(error.status_code))
        response.headers.update(error.headers or {})
        return response

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [(tuple(one["loc"]), str(one["msg"])) for one in error.errors()]
        return answer(request, invalid(found))

    async def on_client_left(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_LEFT)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(DogBreedError, on_sdk_error)
    app.add_exception_handler(Overloaded, on_overload)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(ClientDisconnect, on_client_left)


def _wrap(app: FastAPI, settings: ServiceSettings, metrics: Metrics) -> None:
    """The layers around the routes; the one added last is the outermost."""
    app.add_middleware(LastResort, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    if settings.local_only:
        app.add_middleware(LocalOnly, origins=settings.cors_origins, metrics=metrics)
    app.add_middleware(Observed, metrics=metrics)
