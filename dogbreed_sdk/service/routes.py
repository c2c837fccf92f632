"""The routes of the service: each reads a request, classifies, and responds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

# FastAPI evaluates the annotations of the routes, so these names must exist at run time.
from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import JSONResponse, RedirectResponse, Response

from dogbreed_sdk.labels import display_name
from dogbreed_sdk.predictions import folder_number
from dogbreed_sdk.service import docs_page, openapi, page, request_bodies
from dogbreed_sdk.service.inference import chosen_top_k
from dogbreed_sdk.service.middleware import problem_response
from dogbreed_sdk.service.problems import KINDS, Problem, ProblemError, problem_error
from dogbreed_sdk.service.schemas import (
    DEFAULT_TOP_K,
    MOST_TOP_K,
    BatchAnswer,
    LabelsAnswer,
    PredictionAnswer,
    StatusAnswer,
)

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.service.admission import Admission
    from dogbreed_sdk.service.auth import Guard
    from dogbreed_sdk.service.inference import Inference
    from dogbreed_sdk.service.metrics import Metrics
    from dogbreed_sdk.service.readiness import Readiness
    from dogbreed_sdk.service.settings import ServiceSettings

TopK = Annotated[
    int | None,
    Query(ge=1, le=MOST_TOP_K, description=f"Number of classes to rank. Default: {DEFAULT_TOP_K}."),
]
_OF_ENDPOINT = (500, 502, 503, 504)
_OF_GUARD = (401, 429)


class ApiRoutes:
    """The API for apps, below /v1."""

    def __init__(
        self,
        classifier: AsyncBreedClassifier,
        *,
        settings: ServiceSettings,
        admission: Admission,
        inference: Inference,
        guard: Guard,
    ) -> None:
        self._classifier = classifier
        self._settings = settings
        self._admission = admission
        self._inference = inference
        self._guard = guard

    def router(self) -> APIRouter:
        """The routes, protected by API keys and rates."""
        schemes = []
        if self._settings.api_keys is not None:
            # These only describe the two headers in OpenAPI; the guard checks them.
            schemes = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]
        router = APIRouter(prefix="/v1", dependencies=[*schemes, Depends(self._guard), Depends(_known_query)])
        bodies = (400, 408, 413, 415, 422)
        router.post(
            "/classify",
            response_model=PredictionAnswer,
            responses=openapi.responses(*_OF_GUARD, *bodies, *_OF_ENDPOINT, ok="The prediction."),
            openapi_extra=openapi.body_of_one(),
        )(self.classify)
        router.post(
            "/classify/batch",
            response_model=BatchAnswer,
            responses=openapi.responses(*_OF_GUARD, *bodies, 500, 503, 504, ok="One result per picture."),
            openapi_extra=openapi.body_of_several(),
        )(self.batch)
        router.get(
            "/labels",
            response_model=LabelsAnswer,
            responses=openapi.responses(401, 422, *_OF_ENDPOINT, ok="The classes."),
        )(self.labels)
        return router

    async def classify(self, request: Request, top_k: TopK = None) -> Response:
        """Classifies a picture.

        Send it as the body, as the only file of a form, or as JSON with a URL, base64 or a data: URL.
        """
        # An overloaded service says so before the client sends megabytes.
        self._admission.check()
        async with request_bodies.read_picture(request, self._settings, self._admission) as pictures:
            prediction = await self._inference.classify(request, pictures, chosen_top_k(top_k, pictures.top_k))
        return JSONResponse(prediction)

    async def batch(self, request: Request, top_k: TopK = None) -> Response:
        """Classifies several pictures.

        Send them as the files of a form, or as JSON. The results have the same order; a picture that fails has a
        problem instead of a prediction and does not affect the others. Each picture counts toward the rate limit.
        """
        self._admission.check()
        async with request_bodies.read_batch(request, self._settings, self._admission) as pictures:
            self._guard.charge(request, len(pictures.sources) - 1)
            found = await self._inference.classify_batch(request, pictures, chosen_top_k(top_k, pictures.top_k))
        request_id = request.state.request_id
        return JSONResponse(
            {
                "predictions": [
                    {"problem": one.to_dict(request_id)} if isinstance(one, Problem) else {"prediction": one.to_dict()}
                    for one in found
                ]
            }
        )

    async def labels(self, request: Request) -> Response:
        """Lists the classes of the model that responded last."""
        known = await self._inference.within_deadline(request, self._classifier.labels())
        labels = [
            {
                "index": index,
                "class_folder": folder,
                "label": display_name(folder),
                "folder_number": folder_number(folder),
            }
            for index, folder in enumerate(known.class_folders)
        ]
        return JSONResponse({"model_id": self._classifier.model_id, "labels": labels})


async def _known_query(request: Request) -> None:
    """Refuses unknown parameters: a client that sends ?topk=3 does not want the default."""
    known = ["top_k"] if request.method == "POST" else []
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        what = f"unknown parameter; {'the known one is ' + known[0] if known else 'this URL has none'}"
        raise ProblemError(request_bodies.invalid([((name,), what) for name in unknown]))


class ServiceRoutes:
    """The routes about the service itself: health, metrics, documentation, the web page."""

    def __init__(self, *, readiness: Readiness, metrics: Metrics) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._docs: str | None = None

    def router(self) -> APIRouter:
        """The routes, which need no API key."""
        router = APIRouter()
        add = router.add_api_route
        both = ["GET", "HEAD"]
        add(
            "/healthz",
            self.healthz,
            response_model=StatusAnswer,
            responses=openapi.responses(ok="The service is running."),
        )
        add(
            "/readyz",
            self.readyz,
            response_model=StatusAnswer,
            responses=openapi.responses(503, ok="The endpoint responds."),
        )
        add(
            "/metrics",
            self.metrics,
            response_class=Response,
            responses={200: {"description": "The metrics in Prometheus's text format."}},
        )
        for path, endpoint in (
            ("/docs", self.docs),
            ("/docs.css", self.style),
            ("/problems/{kind}", self.problem),
            ("/", self.page),
            ("/assets/{name}", self.page),
        ):
            add(path, endpoint, methods=both, include_in_schema=False)
        return router

    async def healthz(self) -> Response:
        """Reports that the service is running, whatever the state of the endpoint."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """Reports whether the endpoint responds; the result may be a second old."""
        problem = await self._readiness.problem()
        return JSONResponse({"status": "ready"}) if problem is None else problem_response(problem, _id(request))

    async def metrics(self) -> Response:
        """Returns the metrics for Prometheus."""
        return Response(self._metrics.text(), headers={"Content-Type": self._metrics.content_type})

    async def docs(self, request: Request) -> Response:
        """The documentation of the API."""
        if self._docs is None:
            self._docs = docs_page.render(request.app.openapi())
        return Response(self._docs, media_type="text/html; charset=utf-8")

    async def style(self) -> Response:
        """The stylesheet of the documentation."""
        return Response(docs_page.STYLE, media_type="text/css; charset=utf-8")

    async def problem(self, kind: str) -> Response:
        """Redirects the type of a problem to its documentation."""
        if kind not in KINDS:
            raise problem_error("not-found", KINDS["not-found"].advice)
        return RedirectResponse(f"../docs#{kind}", 302)

    async def page(self, name: str | None = None) -> Response:
        """The web page and its assets."""
        found = page.files().get("/" if name is None else f"/assets/{name}")
        if found is None:
            raise problem_error("not-found", KINDS["not-found"].advice)
        content, media_type = found
        # After an update of the service, a browser must not mix new and old files.
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


def _id(request: Request) -> str:
    return str(request.state.request_id)
