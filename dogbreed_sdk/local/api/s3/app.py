"""Local S3 as an HTTP handler: bodies flow between the network and the disk, operations run in threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dogbreed_sdk.local.api.s3 import buckets, listing, multipart, objects
from dogbreed_sdk.local.api.s3.bodies import ChunkedBody, announced_checksums, checksums_in, is_chunked
from dogbreed_sdk.local.api.s3.context import Content, Operation, Reply, S3Context, bucket_of, refuse_members
from dogbreed_sdk.local.api.s3.protocol import (
    S3Request,
    body_member,
    encode,
    error_document,
    members_of,
    operation_of,
    read_request,
)
from dogbreed_sdk.local.api.wire import ApiError, region_of
from dogbreed_sdk.local.api.xml_wire import XML
from dogbreed_sdk.local.s3.incoming import BLOCK_BYTES, Incoming
from dogbreed_sdk.local.s3.objects import Objects

OPERATIONS: dict[str, Operation] = {
    **buckets.OPERATIONS,
    **listing.OPERATIONS,
    **multipart.OPERATIONS,
    **objects.OPERATIONS,
}
# CompleteMultipartUpload with 10,000 parts, DeleteObjects with 1,000 long keys.
_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
_THREADS = 16
# A page among the objects that is opened in a browser gets its own origin, so that it can't read the other objects.
_ISOLATED = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}
_T = TypeVar("_T")


class S3:
    """S3's API over the objects below a root folder.

    Args:
        root: The root folder of local SageMaker.
    """

    def __init__(self, root: Path) -> None:
        self._objects = Objects(root)
        self._limiter = anyio.CapacityLimiter(_THREADS)

    def close(self) -> None:
        """Close the index."""
        self._objects.close()

    async def respond(self, request: Request) -> Response:
        """The response to a request.

        Raises:
            ApiError: It is refused.
        """
        asked = _asked(request)
        name = operation_of(asked)
        operation = OPERATIONS.get(name)
        if operation is None:
            raise ApiError("NotImplemented", f"Local S3 does not support {name}.", status=501)
        if body_member(name) is not None:
            reply = await self._store(request, asked, name, operation)
        else:
            body = await _read(request, is_chunked(asked.headers))
            given = members_of(name, asked, body)
            refuse_members(name, given)
            context = self._context(request, asked)
            reply = await self._in_thread(lambda: operation(context, given))
        headers, document = encode(name, reply.members)
        return _response(asked.method, reply, headers, document)

    def error(self, request: Request, error: ApiError, request_id: str) -> Response:
        """The response for an error."""
        body = b"" if request.method == "HEAD" else error_document(error, request.scope["path"], request_id)
        # Clients wait before they send a body (Expect: 100-continue), and send none after an error: what comes next
        # on the connection could be taken for it.
        has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        headers = {"Connection": "close"} if has_body else {}
        return Response(body, status_code=error.status, headers=headers, media_type=XML)

    def _context(
        self,
        request: Request,
        asked: S3Request,
        content: Incoming | None = None,
        given_checksums: Mapping[str, str] | None = None,
    ) -> S3Context:
        url = f"{request.scope['scheme']}://{asked.headers.get('host', '')}"
        region = region_of(asked.headers.get("authorization", ""))
        return S3Context(self._objects, region, url, content, given_checksums or {})

    async def _store(self, request: Request, asked: S3Request, name: str, operation: Operation) -> Reply:
        """Performs an operation that stores the request's body."""
        given = members_of(name, asked, None)
        refuse_members(name, given)
        early = self._context(request, asked)
        await self._in_thread(lambda: bucket_of(early, given))  # before the upload, which may be large
        with ExitStack() as stack:
            receiving = self._objects.receiving(announced_checksums(asked.headers))
            content = await self._in_thread(lambda: stack.enter_context(receiving))
            trailers = await self._receive(request, asked, content)
            checksums = {**checksums_in(asked.headers), **checksums_in(trailers)}
            context = self._context(request, asked, content, checksums)
            return await self._in_thread(lambda: operation(context, given))

    async def _receive(self, request: Request, asked: S3Request, content: Incoming) -> dict[str, str]:
        """Writes the request's body to the disk; returns its trailers."""
        chunks = ChunkedBody() if is_chunked(asked.headers) else None
        pending = bytearray()
        async for data in request.stream():
            pending += chunks.feed(data) if chunks else data
            if len(pending) >= BLOCK_BYTES:
                block, pending = pending, bytearray()
                await self._in_thread(lambda block=block: content.write(bytes(block)))  # type: ignore[misc]
        await self._in_thread(lambda: content.write(bytes(pending)))
        if chunks:
            chunks.finish()
        expected = asked.headers.get("x-amz-decoded-content-length")
        if expected is not None and expected != str(content.size):
            raise ApiError("IncompleteBody", f"Expected {expected} bytes, received {content.size}.")
        return chunks.trailers if chunks else {}

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _asked(request: Request) -> S3Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    host = headers.get("host", "").partition(":")[0]
    # bucket.localhost, bucket.s3.localhost and bucket.s3.eu-west-1.localhost: virtual-hosted style.
    bucket = (
        host.removesuffix(".localhost").partition(".s3.")[0].removesuffix(".s3") if host.endswith(".localhost") else ""
    )
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return read_request(request.method, path, query, headers, "" if bucket == "s3" else bucket)


async def _read(request: Request, chunked: bool) -> bytes:
    """An XML body.

    Raises:
        ApiError: It is too large.
    """
    chunks = ChunkedBody() if chunked else None
    body = bytearray()
    async for data in request.stream():
        body += chunks.feed(data) if chunks else data
        if len(body) > _MAX_DOCUMENT_BYTES:
            raise ApiError("MaxMessageLengthExceeded", "Your request was too big.")
    return bytes(body)


def _response(method: str, reply: Reply, headers: Mapping[str, str], document: bytes) -> Response:
    if reply.content is not None:
        return _ContentResponse(reply.content, reply.status, {**headers, **_ISOLATED})
    if method == "HEAD" or reply.status in (204, 304):
        # A HEAD response has the headers of the GET's, its length among them.
        return Response(status_code=reply.status, headers=dict(headers))
    made = Response(document, status_code=reply.status, headers=dict(headers))
    if document:
        made.headers["Content-Type"] = XML
    return made


class _ContentResponse(Response):
    """A range of a file, which is closed in every case."""

    def __init__(self, content: Content, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status_code=status, headers=dict(headers))
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response."""
        with self._content.file as file:
            await anyio.to_thread.run_sync(file.seek, self._content.start)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = self._content.length
            while left > 0:
                block: Any = await anyio.to_thread.run_sync(file.read, min(left, BLOCK_BYTES))
                if not block:
                    raise OSError("the object's file became shorter while it was sent")
                left -= len(block)
                await send({"type": "http.response.body", "body": block, "more_body": left > 0})
            if self._content.length == 0:
                await send({"type": "http.response.body", "body": b""})
