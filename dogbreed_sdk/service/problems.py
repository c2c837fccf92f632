"""Problem details (RFC 9457): the form in which apps get every error of the SDK and of the service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dogbreed_sdk import errors

MEDIA_TYPE = "application/problem+json"
# An endpoint that is being created or is throttled needs at least this time.
_RETRY_SECONDS = 2


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Attributes:
        status: The HTTP status.
        title: Its name, the same for every problem of this kind.
        advice: What it means and what to do, for the documentation.
        shows_message: Whether the response contains the error's message. If that could name the endpoint, account or
            role behind the service, the response has the advice instead, and only the log has the message.
    """

    status: int
    title: str
    advice: str
    shows_message: bool = True


def _hidden(status: int, title: str, advice: str) -> Kind:
    return Kind(status, title, advice, shows_message=False)


_IN_LOG = "The service's log has the reason, under this request_id."
_WAIT = "Wait for the seconds in Retry-After, then try again."
KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(400, "The request cannot be read", "The body does not match the headers."),
    "unauthorized": Kind(
        401, "An API key is required", "Send it as 'Authorization: Bearer KEY' or in the header X-API-Key."
    ),
    "forbidden": Kind(
        403, "Web pages of other sites are not allowed", "The service is meant for the machine that it runs on."
    ),
    "not-found": Kind(404, "Not found", "See /docs for all routes."),
    "method-not-allowed": Kind(405, "Method not allowed", "The header Allow lists the allowed methods."),
    "request-timeout": Kind(408, "The request took too long to arrive", "Send it again over a faster connection."),
    "payload-too-large": Kind(413, "The request is too large", "Send a smaller picture, or fewer pictures."),
    "unsupported-media-type": Kind(
        415, "The content type is not supported", "Send image/*, multipart/form-data or application/json."
    ),
    "invalid-request": Kind(422, "The request contains an invalid value", "The member errors lists each of them."),
    "rate-limit": Kind(429, "Too many requests", _WAIT),
    "internal": _hidden(500, "The service failed", _IN_LOG),
    "overloaded": Kind(503, "Too many requests are waiting", _WAIT),
    "image": Kind(400, "The picture cannot be used", "Send another one."),
    "unsupported-image": Kind(
        415, "The picture cannot be read", "It is damaged, empty, too large to decode, or not a picture."
    ),
    "image-download": Kind(
        422, "The picture at the URL could not be downloaded", "Check the URL, or send the picture itself."
    ),
    "endpoint": _hidden(502, "The endpoint failed", "Try again; the service's log has the reason."),
    "endpoint-not-found": _hidden(
        502, "The endpoint does not exist", "The operator of the service must choose another one."
    ),
    "model": _hidden(502, "The model failed", "The model's code failed on this picture; the log has the reason."),
    "endpoint-not-ready": _hidden(503, "The endpoint is not ready", "It is being created or updated; try again later."),
    "model-server-unreachable": _hidden(
        503,
        "The model server does not accept connections",
        "The model server behind this service does not accept connections: it is not running, or it is starting.",
    ),
    "throttled": _hidden(503, "The endpoint is overloaded", _WAIT),
    "endpoint-timeout": _hidden(504, "The endpoint did not respond in time", "Try again."),
    "configuration": _hidden(500, "The service is misconfigured", _IN_LOG),
    "access": _hidden(500, "The service is not allowed to use the endpoint", _IN_LOG),
    "quota": _hidden(500, "A quota of the service's account is exhausted", _IN_LOG),
    "label": _hidden(500, "The labels do not match the model", "The operator of the service must set other labels."),
}
_WITH_RETRY = ("endpoint-not-ready", "model-server-unreachable", "throttled")
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
    """One problem.

    Attributes:
        kind: A key of `KINDS`.
        detail: What happened in this case.
        retry_after: Whole seconds after which the client should try again, or None.
        aws_request_id: AWS's id of the request that failed, or None.
        errors: The invalid values: [{"where": ..., "what": ...}].
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

    def to_dict(self, request_id: str) -> dict[str, object]:
        """The members of the JSON document."""
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
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_error(kind: str, detail: str, *, retry_after: int | None = None) -> ProblemError:
    """The exception for a problem that the service itself detects."""
    return ProblemError(Problem(kind, detail, retry_after=retry_after))


def problem_from_error(error: errors.DogBreedError) -> Problem:
    """The problem for an error of the SDK.

    >>> problem_from_error(errors.UnsupportedImageError("the picture is empty (0 bytes)")).to_dict("r-1")["type"]
    '/problems/unsupported-image'
    """
    kind = next((name for name in map(_kebab, type(error).__mro__) if name in KINDS), "internal")
    return Problem(
        kind,
        _message(error) if KINDS[kind].shows_message else KINDS[kind].advice,
        retry_after=_RETRY_SECONDS if kind in _WITH_RETRY else None,
        aws_request_id=error.request_id,
    )


def problem_from_status(status: int) -> Problem:
    """The problem for an error of the web framework, such as a missing route or a wrong method."""
    kind = _OF_STATUS.get(status, "bad-request" if status < 500 else "internal")
    return Problem(kind, KINDS[kind].advice)


def _kebab(error: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()


def _message(error: errors.DogBreedError) -> str:
    """The error's message as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")
