"""What transfers cost beside plain boto3 and `aws s3 sync`, against an S3 on loopback that answers after a delay.

Many small files up, the same again when nothing has changed, and down; then one large file up and down. The server
keeps content in memory in a process of its own and waits before each answer, as a network does. Prints seconds, files
and megabytes per second, and how many times as long each other way takes.

    python benchmarks/transfers.py [--files 1000] [--kilobytes 100] [--megabytes 256] [--delay 20] [--aws COMMAND]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import boto3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dogbreed_sdk import Session

BUCKET = "dogs"
_DATE = "2026-01-01T00:00:00.000Z"
_HTTP_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class Store:
    """As much of S3 as transfers need; it trusts what it is sent.

    Args:
        delay: Seconds to wait before each answer.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._parts: dict[str, dict[int, bytes]] = {}

    async def answer(self, request: Request) -> Response:
        """One request."""
        body = await request.body()
        await asyncio.sleep(self._delay)
        key, query = request.path_params.get("key", ""), request.query_params
        if not key:
            interrupted = "uploads" in query
            return _xml("ListMultipartUploadsResult") if interrupted else self._listing(query.get("prefix", ""))
        if request.method == "POST":
            return self._multipart(key, query)
        if request.method == "PUT":
            return self._put(key, query, body)
        return self._get(key, request)

    def _listing(self, prefix: str) -> Response:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>&quot;{etag}&quot;</ETag>"
            f"<LastModified>{_DATE}</LastModified></Contents>"
            for key, (content, etag) in sorted(self._objects.items())
            if key.startswith(prefix)
        )
        return _xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entries}")

    def _multipart(self, key: str, query: Mapping[str, str]) -> Response:
        if "uploads" in query:
            self._parts[key] = {}
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{escape(key)}</UploadId>")
        parts = [content for _, content in sorted(self._parts.pop(key).items())]
        digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        self._objects[key] = b"".join(parts), etag
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{etag}&quot;</ETag>")

    def _put(self, key: str, query: Mapping[str, str], body: bytes) -> Response:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        number = query.get("partNumber")
        if number:
            self._parts[key][int(number)] = body
        else:
            self._objects[key] = body, etag
        return Response(headers={"ETag": f'"{etag}"'})

    def _get(self, key: str, request: Request) -> Response:
        if key not in self._objects:
            return Response(status_code=404)
        content, etag = self._objects[key]
        headers = {"ETag": f'"{etag}"', "Last-Modified": _HTTP_DATE, "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            size = min(len(content), 8 << 20) if "partNumber" in request.query_params else len(content)
            return Response(headers={**headers, "Content-Length": str(size)})
        if asked := request.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return Response(content[start : end + 1], status_code=206, headers=headers)
        return Response(content, headers=headers)


def _xml(name: str, content: str = "") -> Response:
    return Response(f"<{name}>{content}</{name}>", media_type="application/xml")


def serve(listener: socket.socket, delay: float) -> None:
    """Runs the server until its process is ended."""
    store = Store(delay)
    methods = ["GET", "HEAD", "POST", "PUT"]
    app = Starlette(routes=[Route(f"/{BUCKET}{rest}", store.answer, methods=methods) for rest in ("", "/{key:path}")])
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


@contextmanager
def running(delay: float) -> Iterator[None]:
    """The server, where all clients of this process and its children find it."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listener, delay), daemon=True)
        process.start()
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "NO_PROXY": "127.0.0.1",
        }
        yield
        process.terminate()
        process.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures all ways and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="small files (default: %(default)s)")
    parser.add_argument("--kilobytes", type=int, default=100, help="size of each (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=256, help="size of the large file (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=20.0, help="ms before each answer (default: %(default)s)")
    parser.add_argument("--aws", default=shutil.which("aws"), help="the command aws (default: the one on the path)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, running(options.delay / 1000):
        root = Path(folder)
        small = made_up(root / "small", options.files, options.kilobytes * 1000)
        large = made_up(root / "large", 1, options.megabytes * 1_000_000)
        sizes = f"{options.files:,} files of {options.kilobytes} kB and one of {options.megabytes} MB"
        print(f"{sizes}, {options.delay} ms before each answer")
        compare("upload", small, ways(small, root, options.aws, "upload"))
        compare("upload again, nothing changed", small, ways(small, root, options.aws, "again"))
        compare("download", small, ways(small, root, options.aws, "download"))
        compare("upload one large file", large, ways(large, root, options.aws, "upload"))
        compare("download one large file", large, ways(large, root, options.aws, "download"))


def made_up(folder: Path, count: int, size: int) -> dict[str, Path]:
    """Files of random bytes, by name."""
    folder.mkdir()
    generator = random.Random(1)
    files = {f"{number:05}.jpg": folder / f"{number:05}.jpg" for number in range(count)}
    for path in files.values():
        path.write_bytes(generator.randbytes(size))
    return files


def ways(files: dict[str, Path], root: Path, aws: str | None, what: str) -> dict[str, Callable[[], object]]:
    """What is measured, by name; each way has its own folder on S3."""
    storage, s3 = Session.aws(region="us-east-1", bucket=BUCKET).storage, boto3.client("s3")
    storage.exists(f"s3://{BUCKET}/nothing")  # both clients are made before anything is measured
    source = next(iter(files.values())).parent
    kind = source.name

    def loop() -> None:
        for name, path in files.items():
            if what == "download":
                s3.download_file(BUCKET, f"loop-{kind}/{name}", str(empty(root / f"loop-{kind}") / name))
            else:
                s3.upload_file(str(path), BUCKET, f"loop-{kind}/{name}")

    def threads() -> None:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda item: s3.upload_file(str(item[1]), BUCKET, f"pool-{kind}/{item[0]}"), files.items()))

    def ours() -> None:
        if what == "download":
            storage.download_files(f"s3://{BUCKET}/ours-{kind}", empty(root / f"ours-{kind}"))
        else:
            storage.upload_files(files, f"s3://{BUCKET}/ours-{kind}")

    def sync() -> None:
        there = f"s3://{BUCKET}/sync-{kind}"
        pair = [there, str(empty(root / f"sync-{kind}"))] if what == "download" else [str(source), there]
        subprocess.run([str(aws), "s3", "sync", "--only-show-errors", *pair], check=True)

    chosen: dict[str, Callable[[], object]] = {"dogbreed": ours}
    if what != "again":
        chosen["boto3 in a loop"] = loop
    if what == "upload" and len(files) > 1:
        chosen["boto3 in 10 threads"] = threads
    if aws:
        chosen["aws s3 sync"] = sync
    return chosen


def empty(folder: Path) -> Path:
    """The folder, which exists."""
    folder.mkdir(exist_ok=True)
    return folder


def compare(title: str, files: dict[str, Path], measured: dict[str, Callable[[], object]]) -> None:
    """Runs each way once and prints what it took."""
    size = sum(path.stat().st_size for path in files.values())
    print(title)
    ours = None
    for name, run in measured.items():
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin
        ours = ours or seconds
        rates = f"{len(files) / seconds:7.0f} files/s  {size / seconds / 1e6:7.1f} MB/s"
        print(f"  {name:20} {seconds:7.2f} s  {rates}  {seconds / ours:6.2f} x", flush=True)


if __name__ == "__main__":
    main()
