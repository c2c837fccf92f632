"""The services beside SageMaker's: S3, STS and IAM; requests for any other AWS service get a clear refusal."""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dogbreed_sdk.local.api import identity
from dogbreed_sdk.local.api.handling import MAX_REQUEST_BYTES, Handler, guarded, read_body
from dogbreed_sdk.local.api.query_wire import MEDIA_TYPE, error_response, read_form, response
from dogbreed_sdk.local.api.s3.app import S3
from dogbreed_sdk.local.api.services import IAM, SAGEMAKER, STS, service_of
from dogbreed_sdk.local.api.services import S3 as S3_NAME
from dogbreed_sdk.local.api.wire import FORM, JSON_1_1, ApiError, error_body
from dogbreed_sdk.local.api.xml_wire import XML


class OtherServices:
    """Takes the requests for services other than SageMaker's out of the stream; an ASGI middleware.

    Args:
        app: SageMaker's application.
        s3: Local S3.
    """

    def __init__(self, app: ASGIApp, s3: S3) -> None:
        self._app = app
        self._handlers = {
            S3_NAME: guarded(s3.respond, s3.error),
            STS: guarded(_identity(STS), _query_error),
            IAM: guarded(_identity(IAM), _query_error),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond, or pass on to SageMaker's application."""
        if scope["type"] == "http":
            request = Request(scope, receive, send)
            # Not `request.url`, which a malformed Host header breaks before the guard can refuse it.
            query = scope["query_string"].decode("latin-1")
            service = service_of(request.method, scope["path"], query, request.headers)
            if service != SAGEMAKER:
                handler = self._handlers.get(service) or guarded(_unknown(service), _error_as_asked)
                await (await handler(request))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _identity(service: str) -> Handler:
    async def handler(request: Request) -> Response:
        action, form = read_form(await read_body(request, MAX_REQUEST_BYTES) or request.scope["query_string"])

        def work() -> bytes:
            return response(service, action, identity.perform(service, action, form), request.state.id)

        return Response(await anyio.to_thread.run_sync(work), media_type=MEDIA_TYPE)

    return handler


def _unknown(service: str) -> Handler:
    async def handler(_request: Request) -> Response:
        raise ApiError(
            "UnsupportedService",
            f"Local SageMaker offers SageMaker, S3, STS, IAM, CloudWatch and CloudWatch Logs, not {service!r}; nothing "
            "was sent to AWS.",
        )

    return handler


def _query_error(_request: Request, error: ApiError, request_id: str) -> Response:
    return Response(error_response(error, request_id), status_code=error.status, media_type=MEDIA_TYPE)


def _error_as_asked(request: Request, error: ApiError, request_id: str) -> Response:
    """An error in the protocol that the request is in."""
    kind = request.headers.get("content-type", "")
    if kind.startswith(FORM) or "xml" in kind:
        return Response(error_response(error, request_id), status_code=error.status, media_type=XML)
    headers = {"x-amzn-ErrorType": error.code}
    return Response(error_body(error), status_code=error.status, headers=headers, media_type=JSON_1_1)
