"""Problem details (RFC 9457): what every error of the SDK and of the service looks like to an app."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dogbreed_sdk import errors

MEDIA_TYPE = "application/problem+json"
# Waiting for an endpoint that is being created or throttled for less makes no sense.
_RETRY_SECONDS = 2


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Attributes:
        status: The HTTP status.
        title: What it is called, the same for every case of it.
        advice: What it means and what to do, for the documentation.
        own_words: Whether apps read the error's own words. Not where those may name what is behind the service:
            there they read the advice, and the log has the words.
    """

    status: int
    title: str
    advice: str
    own_words: bool = True


def _hidden(status: int, title: str, advice: str) -> Kind:
    return Kind(status, title, advice, own_words=False)


KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(400, "The request cannot be read", "Its body is not what its headers say."),
    "unauthorized": Kind(
        401, "An API key is needed", "Send one as 'Authorization: Bearer KEY' or in the header X-API-Key."
    ),
    "forbidden": Kind(
        403, "Web pages from elsewhere may not ask", "The service is meant for the machine that it runs on."
    ),
    "not-found": Kind(404, "There is nothing here", "See /docs for what there is."),
    "method-not-allowed": Kind(405, "The method is not allowed here", "The header Allow names those that are."),
    "request-timeout": Kind(408, "The request took too long to arrive", "Send it again over a faster connection."),
    "payload-too-large": Kind(413, "The request is too large", "Send a smaller picture, or fewer at a time."),
    "unsupported-media-type": Kind(
        415, "The content type is not supported", "Send image/*, multipart/form-data or application/json."
    ),
    "invalid-request": Kind(422, "A value in the request is not allowed", "The member errors names each one."),
    "rate-limit": Kind(429, "Too many requests", "Wait as long as Retry-After says."),
    "internal": _hidden(500, "The service failed", "Its log has the reason under this request_id."),
    "overloaded": Kind(503, "Too many requests are waiting", "Wait as long as Retry-After says, then try again."),
    "image": Kind(400, "The picture cannot be used", "Send another one."),
    "unsupported-image": Kind(
        415, "This is no picture that can be read", "It is broken, empty, far too large to decode, or no picture."
    ),
    "image-download": Kind(422, "The picture behind the URL could not be fetched", "Check the URL, or send the bytes."),
    "endpoint": _hidden(502, "The endpoint failed", "Try again; the service's log has the reason."),
    "endpoint-not-found": _hidden(
        502, "There is no endpoint of this name", "Whoever runs the service must name another one."
    ),
    "model": _hidden(502, "The model failed", "The model's own code failed on this picture; the log has the reason."),
    "endpoint-not-ready": _hidden(503, "The endpoint is not ready", "It is being created or changed: try again later."),
    "throttled": _hidden(503, "The endpoint has too much to do", "Wait as long as Retry-After says, then try again."),
    "endpoint-timeout": _hidden(504, "No answer in time", "Try again; the endpoint did not answer in time."),
    "configuration": _hidden(500, "The service is set up wrongly", "Its log has the reason under this request_id."),
    "access": _hidden(500, "The service may not use the endpoint", "Its log has the reason under this request_id."),
    "quota": _hidden(500, "A limit of the service's account is reached", "Its log has the reason."),
    "label": _hidden(500, "The labels do not fit the model", "Whoever runs the service must give others."),
}
_WITH_RETRY = ("endpoint-not-ready", "throttled")
_OF_STATUS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "invalid-request",
    429: "rate-limit",
    503: "overloaded",
}


@dataclass(frozen=True)
class Problem:
    """One problem, as an app reads it.

    Attributes:
        kind: A key of `KINDS`.
        detail: What happened in this case.
        retry_after: Whole seconds after which trying again makes sense, or None.
        aws_request_id: AWS's id of the request that failed, or None.
        errors: What is wrong where: [{"where": ..., "what": ...}].
    """

    kind: str
    detail: str
    retry_after: int | None = None
    aws_request_id: str | None = None
    errors: Sequence[Mapping[str, str]] = ()

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind].status

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """The document's members."""
        optional = {
            "retry_after": self.retry_after,
            "aws_request_id": self.aws_request_id,
            "errors": [dict(error) for error in self.errors] or None,
        }
        return {
            "type": f"/problems/{self.kind}",
            "title": KINDS[self.kind].title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **{name: value for name, value in optional.items() if value is not None},
        }


class ProblemError(Exception):
    """A request that ends with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def raised(kind: str, detail: str, *, retry_after: int | None = None) -> ProblemError:
    """The exception for a problem that the service itself found."""
    return ProblemError(Problem(kind, detail, retry_after=retry_after))


def of_error(error: errors.DogBreedError) -> Problem:
    """The problem that an error of the SDK is to an app.

    >>> of_error(errors.UnsupportedImageError("the picture is empty (0 bytes)")).to_dict("r-1")["type"]
    '/problems/unsupported-image'
    """
    kind = next((name for name in map(_kebab, type(error).__mro__) if name in KINDS), "internal")
    return Problem(
        kind,
        _own_words(error) if KINDS[kind].own_words else KINDS[kind].advice,
        retry_after=_RETRY_SECONDS if kind in _WITH_RETRY else None,
        aws_request_id=error.request_id,
    )


def of_status(status: int) -> Problem:
    """The problem that an error of the web framework is: no route, no such method, and the like."""
    kind = _OF_STATUS.get(status, "bad-request" if status < 500 else "internal")
    return Problem(kind, KINDS[kind].advice)


def _kebab(error: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()


def _own_words(error: errors.DogBreedError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")
