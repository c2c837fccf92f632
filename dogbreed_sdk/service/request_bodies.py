"""Reads the pictures of a request: limits its size, time and number of values before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel, ValidationError

from dogbreed_sdk.service import multipart
from dogbreed_sdk.service.problems import Problem, ProblemError, problem_error
from dogbreed_sdk.service.schemas import MOST_TOP_K, BatchRequest, ClassifyRequest, PictureSource
from training_scripts.data.formats import JSON, PICTURE_CONTENT_TYPES, UNNAMED_CONTENT_TYPES

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

    from dogbreed_sdk.service.admission import Admission
    from dogbreed_sdk.service.settings import ServiceSettings

_MULTIPART = "multipart/form-data"
# The body is the picture itself, as with every image/*; its bytes show the format.
_RAW = UNNAMED_CONTENT_TYPES | PICTURE_CONTENT_TYPES
# Values of a JSON document: a batch of 32 has 70. Each takes a hundred bytes of memory or more, for one or two in the
# body.
_MOST_VALUES = 2000
# Pictures as base64 are a third longer; the rest is for URLs and the JSON itself.
_JSON_EXTRA_BYTES = 512 * 1024
# Parsing more than this would block the event loop.
_SMALL_BYTES = 256 * 1024
_FORM_FIELDS = 4  # besides the pictures

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class Upload(io.BytesIO):
    """The bytes of a picture, with a name for error messages."""

    name = "the picture"


@dataclass(frozen=True)
class Pictures:
    """The pictures of a request.

    Attributes:
        sources: Uploads, http(s) URLs and data: URLs for the classifier, in order; never a path. A picture of a batch
            that is not valid is represented by its problem.
        top_k: Number of classes to rank, or None if the request does not contain it.
    """

    sources: list[Upload | str | Problem]
    top_k: int | None


@asynccontextmanager
async def read_picture(request: Request, settings: ServiceSettings, admission: Admission) -> AsyncIterator[Pictures]:
    """Reads the picture of a request to /v1/classify; its bytes are counted until the block ends.

    Raises:
        ProblemError: The body is too large or too slow, or does not contain a picture.
        Overloaded: All requests together hold too many bytes.
        ClientDisconnect: The client disconnected before it had sent everything.
    """
    kind = _kind(request)
    if kind not in (JSON, _MULTIPART, *_RAW) and not kind.startswith("image/"):
        raise problem_error(
            "unsupported-media-type",
            f"The content type is {kind[:100]!r}. Send a picture as image/* (curl --data-binary @rex.jpg -H "
            "'Content-Type: image/jpeg'), multipart/form-data (curl -F file=@rex.jpg) or application/json.",
        )
    async with _body(request, _limit(kind, settings.max_body_bytes), settings, admission) as body:
        if kind == JSON:
            document = await _process(body, lambda: _validated(ClassifyRequest, body))
            yield Pictures([await _process(body, lambda: _source(document, settings))], document.top_k)
        elif kind == _MULTIPART:
            form = await _process(body, lambda: _form(body, request.headers["content-type"], most=1))
            yield form
        else:
            yield Pictures([Upload(body)], None)


@asynccontextmanager
async def read_batch(request: Request, settings: ServiceSettings, admission: Admission) -> AsyncIterator[Pictures]:
    """Reads the pictures of a request to /v1/classify/batch; their bytes are counted until the block ends.

    Raises:
        ProblemError: The body is too large or too slow, or contains no picture or too many.
        Overloaded: All requests together hold too many bytes.
        ClientDisconnect: The client disconnected before it had sent everything.
    """
    kind = _kind(request)
    if kind not in (JSON, _MULTIPART):
        raise problem_error(
            "unsupported-media-type",
            f"The content type is {kind[:100]!r}. Send several pictures as multipart/form-data "
            "(curl -F file=@one.jpg -F file=@two.jpg) or as application/json.",
        )
    most = settings.max_batch_pictures
    async with _body(request, _limit(kind, settings.max_batch_bytes), settings, admission) as body:
        if kind == _MULTIPART:
            yield await _process(body, lambda: _form(body, request.headers["content-type"], most=most))
            return
        document = await _process(body, lambda: _validated(BatchRequest, body))
        count = len(document.pictures)
        if count > most:
            raise problem_error("payload-too-large", f"A batch may contain at most {most} pictures, not {count}.")
        sources = await _process(body, lambda: [_source_or_problem(one, settings) for one in document.pictures])
        yield Pictures(sources, document.top_k)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _limit(kind: str, picture_bytes: int) -> int:
    return picture_bytes * 4 // 3 + _JSON_EXTRA_BYTES if kind == JSON else picture_bytes


@asynccontextmanager
async def _body(request: Request, limit: int, settings: ServiceSettings, admission: Admission) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        try:
            with anyio.fail_after(settings.read_seconds):
                async for chunk in request.stream():
                    if size + len(chunk) > limit:
                        raise _too_large(limit)
                    admission.hold(len(chunk))
                    size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            raise problem_error(
                "request-timeout", f"The body did not arrive within {settings.read_seconds:.0f} s."
            ) from None
        body = b"".join(chunks)
        chunks.clear()
        yield body
    finally:
        admission.hold(-size)


def _too_large(limit: int) -> ProblemError:
    return problem_error("payload-too-large", f"The body is larger than {limit:,} bytes, the limit of this service.")


async def _process(body: bytes, work: Callable[[], Result]) -> Result:
    """The result of `work`, which runs in a thread if the body is large."""
    return work() if len(body) <= _SMALL_BYTES else await anyio.to_thread.run_sync(work)


def _validated(model: type[Model], body: bytes) -> Model:
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise problem_error("bad-request", f"The JSON document has more than {_MOST_VALUES} values.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] == "json_invalid" for problem in problems):
        raise problem_error("bad-request", f"The body is not valid JSON: {problems[0]['msg']}.")
    raise ProblemError(invalid([(problem["loc"], _explanation(problem, model)) for problem in problems]))


def _explanation(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with a member; for an unknown one, the members that are known."""
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    known = model if len(problem["loc"]) == 1 else PictureSource
    return f"unknown member; the known ones are {', '.join(sorted(known.model_fields))}"


def invalid(found: list[tuple[tuple[int | str, ...], str]]) -> Problem:
    """The problem for invalid values: where they are, and what is wrong. It does not repeat the values."""
    errors = [
        {"where": ".".join(map(str, place))[:100] or "body", "what": what.removeprefix("Value error, ")}
        for place, what in found[:20]
    ]
    return Problem("invalid-request", f"{errors[0]['where']}: {errors[0]['what']}.", errors=errors)


def _source(picture: PictureSource, settings: ServiceSettings) -> Upload | str:
    if picture.url is not None:
        if not settings.allow_urls:
            raise problem_error("invalid-request", "This service does not fetch URLs; send the picture itself.")
        return picture.url
    if picture.data is not None:
        return picture.data
    try:
        content = base64.b64decode(picture.base64 or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise problem_error("bad-request", f"The member base64 is not valid base64: {error}.") from None
    return Upload(content)


def _source_or_problem(picture: PictureSource, settings: ServiceSettings) -> Upload | str | Problem:
    try:
        return _source(picture, settings)
    except ProblemError as error:
        return error.problem


def _form(body: bytes, content_type: str, *, most: int) -> Pictures:
    try:
        parts = multipart.parse(body, content_type, most_parts=most + _FORM_FIELDS)
    except multipart.MultipartError as error:
        raise problem_error("bad-request", str(error)) from None
    files = [part for part in parts if part.is_file]
    if not 1 <= len(files) <= most:
        raise problem_error(
            "bad-request",
            f"The form has {len(files)} files; send {'one' if most == 1 else f'1 to {most}'} (curl -F file=@rex.jpg).",
        )
    top_k = next((part.content for part in parts if part.name == "top_k"), None)
    return Pictures([Upload(part.content) for part in files], None if top_k is None else _top_k(top_k))


def _top_k(content: bytes) -> int:
    text = content.decode("ascii", "replace").strip()
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST_TOP_K):
        raise ProblemError(invalid([(("top_k",), f"must be a number from 1 to {MOST_TOP_K}")]))
    return int(text)
