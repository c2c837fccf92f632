"""What all handlers of HTTP requests share: a response whatever happens, request ids, and bodies of limited size."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.local.api.wire import ApiError, new_request_id
from dogbreed_sdk.local.store import StoreError
from training_scripts.data.limits import MAX_REALTIME_REQUEST_BYTES

Handler = Callable[[Request], Awaitable[Response]]
# Makes the response for an error, given the request and its id.
ErrorResponse = Callable[[Request, ApiError, str], Response]

# The largest CreateTrainingJob that the model allows (100 hyperparameters, 100 variables, 20 channels) is below 1 MB.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
# The rest of a body that is too large is read up to here: the client sees a response, not a broken connection.
_MAX_DISCARDED_BYTES = 16 * MAX_REALTIME_REQUEST_BYTES
_CLIENT_CLOSED_REQUEST = 499  # nginx's number; there is no official one

logger = logging.getLogger(__name__)


def guarded(handler: Handler, error_response: ErrorResponse) -> Handler:
    """A handler that always responds: errors in its service's form, and each response with a request id.

    The handler finds the request id in `request.state.id`.
    """

    async def respond(request: Request) -> Response:
        request_id = request.state.id = new_request_id()
        try:
            _refuse_web_pages(request)
            response = await handler(request)
        except ClientDisconnect:
            # For instance Ctrl-C during an upload: no client reads this response.
            response = Response(status_code=_CLIENT_CLOSED_REQUEST)
        except ApiError as error:
            response = error_response(request, error, request_id)
        except StoreError as error:
            logger.error("request %s failed: %s", request_id, error)
            response = error_response(request, ApiError("InternalFailure", str(error), status=500), request_id)
        except Exception as error:
            logger.exception("request %s failed", request_id)
            message = f"{type(error).__name__}: {error} (local SageMaker's log has more, request id {request_id})"
            response = error_response(request, ApiError("InternalFailure", message, status=500), request_id)
        response.headers["x-amzn-RequestId"] = response.headers["x-amz-request-id"] = request_id
        return response

    return respond


def _refuse_web_pages(request: Request) -> None:
    """Refuse requests from web pages: browsers send an origin, and a rebound DNS name is not loopback.

    Raises:
        ApiError: AccessDeniedException.
    """
    if "origin" in request.headers:
        raise ApiError("AccessDeniedException", "Local SageMaker accepts no requests from web pages.", status=403)
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if not is_loopback(name.strip("[]")):
        raise ApiError(
            "AccessDeniedException",
            f"Local SageMaker is available on loopback only, not as {host[:128]!r}.",
            status=403,
        )


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        ApiError: The body is larger than the limit: code "413", as from AWS's front end.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > _MAX_DISCARDED_BYTES:
            break
    if size > limit:
        raise ApiError("413", f"HTTP content length exceeded {limit} bytes.", status=413)
    return b"".join(chunks)
