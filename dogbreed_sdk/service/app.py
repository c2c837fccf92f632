"""`create_app` combines the parts of the service into one ASGI application."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.service import openapi
from dogbreed_sdk.service.admission import Admission, Overloaded
from dogbreed_sdk.service.auth import Guard
from dogbreed_sdk.service.inference import Inference
from dogbreed_sdk.service.local_only import LocalOnlyMiddleware
from dogbreed_sdk.service.metrics import Metrics
from dogbreed_sdk.service.middleware import (
    CLIENT_CLOSED_REQUEST,
    ErrorMiddleware,
    ObservabilityMiddleware,
    logged_problem,
    problem_response,
)
from dogbreed_sdk.service.problems import Problem, ProblemError, problem_from_status
from dogbreed_sdk.service.readiness import Readiness, probe
from dogbreed_sdk.service.request_bodies import invalid
from dogbreed_sdk.service.routes import ApiRoutes, ServiceRoutes
from dogbreed_sdk.service.settings import ServiceSettings

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier

TITLE = "Dog breeds"


def create_app(classifier: AsyncBreedClassifier, settings: ServiceSettings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        classifier: Classifies the pictures; the caller closes it.
        settings: Limits and options; the defaults suit a service for the apps of this machine.

    Returns:
        An application to run with uvicorn, or to mount in your application: ``app.mount("/dogs", create_app(...))``.
        The server that runs it must limit connections and headers, as ``dogbreed serve`` does.

    Examples:
        >>> from dogbreed_sdk.service import ServiceSettings, create_app
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> app = create_app(FakeEndpoint(["Pug", "Boxer"]).async_classifier(), ServiceSettings(max_waiting=16))
        >>> "/v1/classify" in app.openapi()["paths"]
        True
    """
    settings = settings or ServiceSettings()
    # A thread that works for an abandoned request must end at the request's deadline.
    classifier = classifier.with_options(
        deadline=min(classifier.options.deadline, settings.deadline_seconds),
        read_timeout=min(classifier.options.read_timeout, settings.deadline_seconds),
    )
    admission = Admission(
        slots=settings.max_concurrency, queue=settings.max_waiting, buffer=settings.max_buffered_bytes
    )
    metrics = Metrics(admission)
    readiness = Readiness(functools.partial(probe, classifier), good_for=settings.ready_seconds)
    inference = Inference(
        classifier,
        admission=admission,
        download_admission=Admission(slots=max(1, settings.max_concurrency // 2), queue=settings.max_waiting, buffer=0),
        metrics=metrics,
        readiness=readiness,
        seconds=settings.deadline_seconds,
    )
    api = ApiRoutes(
        classifier,
        settings=settings,
        admission=admission,
        inference=inference,
        guard=Guard(settings),
    )
    app = FastAPI(
        title=settings.title or TITLE, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.include_router(api.router())
    app.include_router(ServiceRoutes(classifier, settings=settings, readiness=readiness, metrics=metrics).router())
    _set_openapi(app)
    _add_exception_handlers(app, metrics)
    _add_middleware(app, settings, metrics)
    return app


def _set_openapi(app: FastAPI) -> None:
    def document() -> openapi.Document:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _add_exception_handlers(app: FastAPI, metrics: Metrics) -> None:
    """Turns every expected exception into a problem response."""

    def respond(request: Request, problem: Problem) -> Response:
        metrics.problem(problem.kind)
        return problem_response(problem, request.state.request_id)

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        response = respond(request, error.problem)
        if error.problem.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    async def on_sdk_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, DogBreedError)
        return respond(request, logged_problem(error, request.state.request_id))

    async def on_overload(request: Request, error: Exception) -> Response:
        assert isinstance(error, Overloaded)
        detail = "More requests are waiting than this service allows."
        return respond(request, Problem("overloaded", detail, retry_after=error.retry_after))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = respond(request, problem_from_status(error.status_code))
        response.headers.update(error.headers or {})
        return response

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [(tuple(one["loc"]), str(one["msg"])) for one in error.errors()]
        return respond(request, invalid(found))

    async def on_disconnect(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(DogBreedError, on_sdk_error)
    app.add_exception_handler(Overloaded, on_overload)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(ClientDisconnect, on_disconnect)


def _add_middleware(app: FastAPI, settings: ServiceSettings, metrics: Metrics) -> None:
    """Adds the layers around the routes; the one added last is the outermost."""
    app.add_middleware(ErrorMiddleware, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    if settings.local_only:
        app.add_middleware(LocalOnlyMiddleware, origins=settings.cors_origins, metrics=metrics)
    app.add_middleware(ObservabilityMiddleware, metrics=metrics)
