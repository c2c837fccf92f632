"""From a request's body to the pictures in it: bounded in bytes, time and members before anything is decoded."""

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
from dogbreed_sdk.service.problems import Problem, ProblemError, raised
from dogbreed_sdk.service.schemas import MOST_TOP_K, BatchRequest, ClassifyRequest, PictureSource
from training_scripts.data.formats import JSON, PICTURE_CONTENT_TYPES, UNNAMED_CONTENT_TYPES

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

    from dogbreed_sdk.service.admission import Slots
    from dogbreed_sdk.service.settings import ServiceSettings

_MULTIPART = "multipart/form-data"
# A picture as the body itself, beside image/* of any kind: its bytes decide.
_RAW = UNNAMED_CONTENT_TYPES | PICTURE_CONTENT_TYPES
# Values of a JSON document: a batch of 32 has 70. Each costs some hundred bytes of memory for one or two of the body.
_MOST_VALUES = 2000
# Pictures as base64 are a third longer; the rest is for URLs and the JSON itself.
_JSON_EXTRA_BYTES = 512 * 1024
# Taking apart more than this would hold up other requests.
_SMALL_BYTES = 256 * 1024
_FORM_FIELDS = 4  # beside the pictures

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class Upload(io.BytesIO):
    """A picture's bytes that messages call "the picture"."""

    name = "the picture"


@dataclass(frozen=True)
class Pictures:
    """What a request asks.

    Attributes:
        sources: Uploads, http(s) URLs and data: URLs, in order, for the classifier; never a path. In place of a
            picture of a batch that cannot be one, its problem.
        top_k: How many classes to rank, or None where the request does not say.
    """

    sources: list[Upload | str | Problem]
    top_k: int | None


@asynccontextmanager
async def one_picture(request: Request, settings: ServiceSettings, slots: Slots) -> AsyncIterator[Pictures]:
    """The picture of a request to /v1/classify; its bytes count as held until the context ends.

    Raises:
        ProblemError: The body is too large, too slow, or holds no picture.
        Overloaded: All requests together hold too many bytes.
        ClientDisconnect: The client left before it had sent everything.
    """
    kind = _kind(request)
    if kind not in (JSON, _MULTIPART, *_RAW) and not kind.startswith("image/"):
        raise raised(
            "unsupported-media-type",
            f"The content type is {kind[:100]!r}. Send a picture as image/* (curl --data-binary @rex.jpg -H "
            "'Content-Type: image/jpeg'), multipart/form-data (curl -F file=@rex.jpg) or application/json.",
        )
    async with _body(request, _limit(kind, settings.max_body_bytes), settings, slots) as body:
        if kind == JSON:
            asked = await _work_through(body, lambda: _validated(ClassifyRequest, body))
            yield Pictures([await _work_through(body, lambda: _source(asked, settings))], asked.top_k)
        elif kind == _MULTIPART:
            form = await _work_through(body, lambda: _form(body, request.headers["content-type"], most=1))
            yield form
        else:
            yield Pictures([Upload(body)], None)


@asynccontextmanager
async def several_pictures(request: Request, settings: ServiceSettings, slots: Slots) -> AsyncIterator[Pictures]:
    """The pictures of a request to /v1/classify/batch, as `one_picture` gives one.

    Raises:
        ProblemError: The body is too large, too slow, or holds no or too many pictures.
        Overloaded: All requests together hold too many bytes.
        ClientDisconnect: The client left before it had sent everything.
    """
    kind = _kind(request)
    if kind not in (JSON, _MULTIPART):
        raise raised(
            "unsupported-media-type",
            f"The content type is {kind[:100]!r}. Send several pictures as multipart/form-data "
            "(curl -F file=@one.jpg -F file=@two.jpg) or as application/json.",
        )
    most = settings.max_batch_pictures
    async with _body(request, _limit(kind, settings.max_batch_bytes), settings, slots) as body:
        if kind == _MULTIPART:
            yield await _work_through(body, lambda: _form(body, request.headers["content-type"], most=most))
            return
        asked = await _work_through(body, lambda: _validated(BatchRequest, body))
        if len(asked.pictures) > most:
            raise raised("payload-too-large", f"A batch holds at most {most} pictures, not {len(asked.pictures)}.")
        sources = await _work_through(body, lambda: [_source_or_problem(one, settings) for one in asked.pictures])
        yield Pictures(sources, asked.top_k)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _limit(kind: str, picture_bytes: int) -> int:
    return picture_bytes * 4 // 3 + _JSON_EXTRA_BYTES if kind == JSON else picture_bytes


@asynccontextmanager
async def _body(request: Request, limit: int, settings: ServiceSettings, slots: Slots) -> AsyncIterator[bytes]:
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
                    slots.hold(len(chunk))
                    size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            raise raised(
                "request-timeout", f"The body had not arrived after {settings.read_seconds:.0f} seconds."
            ) from None
        body = b"".join(chunks)
        chunks.clear()
        yield body
    finally:
        slots.hold(-size)


def _too_large(limit: int) -> ProblemError:
    return raised("payload-too-large", f"The body is larger than {limit:,} bytes, the limit of this service.")


async def _work_through(body: bytes, work: Callable[[], Result]) -> Result:
    """What `work` gives: at once for a small body, in a thread for one that takes longer."""
    return work() if len(body) <= _SMALL_BYTES else await anyio.to_thread.run_sync(work)


def _validated(model: type[Model], body: bytes) -> Model:
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise raised("bad-request", f"The JSON document has more than {_MOST_VALUES} values.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] == "json_invalid" for problem in problems):
        raise raised("bad-request", f"The body is no JSON document: {problems[0]['msg']}.")
    raise ProblemError(invalid([(problem["loc"], _in_plain_words(problem, model)) for problem in problems]))


def _in_plain_words(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with a member; of one that is not known, which are."""
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    known = model if len(problem["loc"]) == 1 else PictureSource
    return f"is no member that is known; known are {', '.join(sorted(known.model_fields))}"


def invalid(found: list[tuple[tuple[int | str, ...], str]]) -> Problem:
    """The problem of values that are not allowed: where they are, and what is wrong. The values are not repeated."""
    errors = [
        {"where": ".".join(map(str, place))[:100] or "body", "what": what.removeprefix("Value error, ")}
        for place, what in found[:20]
    ]
    return Problem("invalid-request", f"{errors[0]['where']}: {errors[0]['what']}.", errors=errors)


def _source(asked: PictureSource, settings: ServiceSettings) -> Upload | str:
    if asked.url is not None:
        if not settings.allow_urls:
            raise raised("invalid-request", "This service fetches no URLs: send the picture itself.")
        return asked.url
    if asked.data is not None:
        return asked.data
    try:
        content = base64.b64decode(asked.base64 or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise raised("bad-request", f"The member base64 is no base64: {error}.") from None
    return Upload(content)


def _source_or_problem(asked: PictureSource, settings: ServiceSettings) -> Upload | str | Problem:
    try:
        return _source(asked, settings)
    except ProblemError as error:
        return error.problem


def _form(body: bytes, content_type: str, *, most: int) -> Pictures:
    try:
        parts = multipart.parse(body, content_type, most_parts=most + _FORM_FIELDS)
    except multipart.MultipartError as error:
        raise raised("bad-request", str(error)) from None
    files = [part for part in parts if part.is_file]
    if not 1 <= len(files) <= most:
        raise raised(
            "bad-request",
            f"The form has {len(files)} files; {'one is' if most == 1 else f'1 to {most} are'} expected "
            "(curl -F file=@rex.jpg).",
        )
    top_k = next((part.content for part in parts if part.name == "top_k"), None)
    return Pictures([Upload(part.content) for part in files], None if top_k is None else _top_k(top_k))


def _top_k(content: bytes) -> int:
    text = content.decode("ascii", "replace").strip()
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST_TOP_K):
        raise ProblemError(invalid([(("top_k",), f"must be a number from 1 to {MOST_TOP_K}")]))
    return int(text)
