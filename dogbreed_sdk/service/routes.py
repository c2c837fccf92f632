"""The routes of the service: each reads a request, classifies, and responds."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

# FastAPI evaluates the annotations of the routes, so these names must exist at run time.
from fastapi import APIRouter, Depends, Query, Request
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import JSONResponse, RedirectResponse, Response

from dogbreed_sdk._util.text import sentence
from dogbreed_sdk.errors import LabelError
from dogbreed_sdk.predictions import folder_number
from dogbreed_sdk.service import docs_page, examples, openapi, page, request_bodies
from dogbreed_sdk.service.inference import chosen_top_k
from dogbreed_sdk.service.middleware import problem_response
from dogbreed_sdk.service.problems import KINDS, Problem, ProblemError, problem_error
from dogbreed_sdk.service.schemas import (
    DEFAULT_TOP_K,
    MOST_TOP_K,
    BatchAnswer,
    ClassifyAnswer,
    ExplanationAnswer,
    LabelsAnswer,
    StatusAnswer,
)
from dogbreed_sdk.service.subject import subject_of
from training_scripts._util.class_names import display_name
from training_scripts.data.accept import preferred
from training_scripts.data.formats import JSON

if TYPE_CHECKING:
    from PIL import Image

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.client.explanation import Explanation
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
Preview = Annotated[
    bool, Query(description="Whether to return a small JPEG of the picture, for pages that cannot show it themselves.")
]
Label = Annotated[
    str | None,
    Query(max_length=200, description="The class to explain, by label or class folder. Default: the most probable."),
]
_USUAL_QUERY = re.compile(rb"(?:top_k=(\d{1,6}))?")
_PNG = "image/png"
# The heat map is smooth: this is as sharp as its picture.
_LAYER_SIDE = 480
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
        router = APIRouter(
            prefix="/v1",
            dependencies=[*schemes, Depends(self._guard), Depends(_known_query)],
            route_class=_direct_route(self._guard),
        )
        bodies = (400, 408, 413, 415, 422)
        router.post(
            "/classify",
            response_model=ClassifyAnswer,
            responses=openapi.responses(*_OF_GUARD, *bodies, *_OF_ENDPOINT, ok="The prediction."),
            openapi_extra=openapi.body_of_one(),
        )(self.classify)
        router.post(
            "/classify/batch",
            response_model=BatchAnswer,
            responses=openapi.responses(*_OF_GUARD, *bodies, 500, 503, 504, ok="One result per picture."),
            openapi_extra=openapi.body_of_several(),
        )(self.batch)
        if self._classifier.can_explain:
            router.post(
                "/explain",
                response_model=ExplanationAnswer,
                responses=_explain_responses(bodies),
                openapi_extra=openapi.body_of_one(),
            )(self.explain)
        router.get(
            "/labels",
            response_model=LabelsAnswer,
            responses=openapi.responses(401, 422, *_OF_ENDPOINT, ok="The classes."),
        )(self.labels)
        return router

    async def classify(self, request: Request, top_k: TopK = None, preview: Preview = False) -> Response:
        """Classifies a picture.

        Send it as the body, as the only file of a form, or as JSON with a URL, base64 or a data: URL.
        """
        # An overloaded service says so before the client sends megabytes.
        self._admission.check()
        async with request_bodies.read_picture(request, self._settings, self._admission) as pictures:
            classify = self._inference.classify_with_preview if preview else self._inference.classify
            prediction = await classify(request, pictures, chosen_top_k(top_k, pictures.top_k))
        return JSONResponse(prediction)

    async def explain(self, request: Request, top_k: TopK = None, label: Label = None) -> Response:
        """Shows where in a picture the evidence for a class is.

        Send the picture as to /v1/classify. With Accept: image/png the answer is the picture itself with the heat map
        over it. It takes about three times as long as classifying, and counts as one picture.
        """
        self._admission.check()
        form = preferred(request.headers.get("accept"), (JSON, _PNG))
        async with request_bodies.read_picture(request, self._settings, self._admission) as pictures:
            number = chosen_top_k(top_k, pictures.top_k)
            try:
                if form == _PNG:
                    drawn = await self._inference.explain(request, pictures, label, number, _overlay)
                    return Response(drawn, media_type=_PNG)
                return JSONResponse(await self._inference.explain(request, pictures, label, number, _explanation))
            except LabelError as error:
                if label is None:
                    raise
                raise ProblemError(request_bodies.invalid([(("label",), sentence(str(error)).rstrip("."))])) from error

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
                "results": [
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
        subject = subject_of(known.labels)
        return JSONResponse({"model_id": self._classifier.model_id, "labels": labels, "subject": subject})


def _explain_responses(bodies: tuple[int, ...]) -> dict[int | str, openapi.Document]:
    found = openapi.responses(*_OF_GUARD, *bodies, *_OF_ENDPOINT, ok="The explanation.")
    found[200]["content"] = {_PNG: {"schema": {"type": "string", "format": "binary"}}}
    return found


def _explanation(found: Explanation) -> dict[str, object]:
    """The answer to a client that draws the heat map itself."""
    width, height = found.picture.size
    layer = found.layer()
    layer.thumbnail((_LAYER_SIDE, _LAYER_SIDE))
    return {
        "prediction": found.prediction.to_dict(),
        "label": found.label,
        "class_folder": found.class_folder,
        "index": found.index,
        "box": [edge / side for edge, side in zip(found.box, (width, height) * 2, strict=True)],
        "contributions": [list(row) for row in found.contributions],
        "heatmap": f"data:{_PNG};base64,{base64.b64encode(_png(layer)).decode()}",
    }


def _overlay(found: Explanation) -> bytes:
    return _png(found.overlay())


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def _direct_route(guard: Guard) -> type[APIRoute]:
    """A class of routes that read the usual queries, none and ``?top_k=3``, themselves.

    FastAPI solves all parameters and dependencies of a route again for every request, which takes longer than all else
    that the service does. The parameters stay declared: for the documentation, and for all other queries.

    Args:
        guard: Admits requests to the routes.
    """

    class DirectRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            solve, respond = super().get_route_handler(), self.endpoint
            if "top_k" not in (parameter.alias for parameter in self.dependant.query_params):
                return solve

            async def handle(request: Request) -> Response:
                query = _USUAL_QUERY.fullmatch(request.scope["query_string"])
                top_k = int(query[1]) if query and query[1] else None
                if query is None or not (top_k is None or 1 <= top_k <= MOST_TOP_K):
                    return await solve(request)
                await guard(request)
                response: Response = await respond(request, top_k)
                return response

            return handle

    return DirectRoute


async def _known_query(request: Request) -> None:
    """Refuses unknown parameters: a client that sends ?topk=3 does not want the default."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        listed = f"the known {'one is' if len(known) == 1 else 'ones are'} {', '.join(known)}"
        what = f"unknown parameter; {listed if known else 'this URL has none'}"
        raise ProblemError(request_bodies.invalid([((name,), what) for name in unknown]))


class ServiceRoutes:
    """The routes about the service itself: health, metrics, documentation, the web page."""

    def __init__(
        self, classifier: AsyncBreedClassifier, *, settings: ServiceSettings, readiness: Readiness, metrics: Metrics
    ) -> None:
        self._classifier = classifier
        self._settings = settings
        self._examples = examples.load(settings.examples) if settings.examples else ()
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
            ("/openapi.json", self.openapi),
            ("/docs", self.docs),
            ("/docs.css", self.style),
            ("/problems/{kind}", self.problem),
            ("/", self.page),
            ("/assets/{name}", self.asset),
            ("/examples/{number}", self.example),
        ):
            add(path, endpoint, methods=both, include_in_schema=False)
        if not self._classifier.can_explain:
            add("/v1/explain", self.no_explanation, methods=["POST"], include_in_schema=False)
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

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document; below a prefix, with the address that clients use."""
        document, prefix = request.app.openapi(), request.scope.get("root_path", "").rstrip("/")
        return JSONResponse({**document, "servers": [{"url": prefix}]} if prefix else document)

    async def no_explanation(self) -> Response:
        """Says why this service has no explanations."""
        raise problem_error(
            "not-found",
            "This service does not explain predictions: that needs a bundle or a job's model (serve --bundle, or serve "
            "with a job's name), in torch and without --code bundle.",
        )

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

    async def page(self) -> Response:
        """The web page."""
        known = self._classifier.known_labels
        content = page.index(
            title=self._settings.title,
            subject=subject_of(known.labels) if known else None,
            urls=self._settings.allow_urls,
            explain=self._classifier.can_explain,
            examples=[example.name for example in self._examples],
        )
        return _file(content, "text/html; charset=utf-8")

    async def asset(self, name: str) -> Response:
        """A file of the web page."""
        found = page.files().get(f"/assets/{name}")
        if found is None:
            raise problem_error("not-found", KINDS["not-found"].advice)
        return _file(*found)

    async def example(self, number: str) -> Response:
        """An example picture."""
        if not (number.isdecimal() and len(number) < 3 and int(number) < len(self._examples)):
            raise problem_error("not-found", KINDS["not-found"].advice)
        return _file(self._examples[int(number)].content, "image/jpeg")


def _file(content: bytes, media_type: str) -> Response:
    # After an update of the service, a browser must not mix new and old files.
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


def _id(request: Request) -> str:
    return str(request.state.request_id)
