"""Downloads: resumed, verified and unpacked without trust, against a real server on loopback."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import traceback
import tracemalloc
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from PIL import Image

from dogbreed_sdk.cli import data_commands
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.datasets import archives
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import DatasetError
from tests.waiting import wait_for


class Server(ThreadingHTTPServer):
    """Serves one body; may stall or break off after some bytes, change its version, or answer with errors first."""

    body = b""
    etag = '"1"'
    ranges = True
    break_after: list[int]
    statuses: list[int]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str | None] = []
        self.break_after, self.statuses = [], []
        self.goes_on = Event()
        self.goes_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/dogs.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        body, start = self.server.body, 0
        if wanted and self.server.ranges and self.headers.get("If-Range") == self.server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + self.server.break_after.pop(0) if self.server.break_after else len(body)
        self.wfile.write(body[start:end])
        self.wfile.flush()
        self.server.goes_on.wait()
        self.close_connection = True

    def log_message(self, *parts: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads in steps that suit the size of these archives."""
    monkeypatch.setattr(archives, "_CHUNK", 50)


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (number * 40, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    f"dogImages/{split}/{name}/{number}.png": picture(number)
    for split, count in (("train", 3), ("valid", 1), ("test", 1))
    for name in ("001.Boxer", "002.Pug")
    for number in range(count)
}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda files: tarred(files, "w"), lambda files: tarred(files, "w:xz")]
)
def test_an_archive_becomes_a_data_set_without_its_wrapping_folder(server: Server, tmp_path: Path, pack) -> None:
    server.body = pack(FILES | {"__MACOSX/dogImages/._x": b"junk"})
    seen: list[tuple[int, int]] = []
    dataset = BreedDataset.download(
        server.url,
        tmp_path / "dogs",
        sha256=hashlib.sha256(server.body).hexdigest(),
        progress=lambda *done: seen.append(done),
    )
    assert dataset.root == tmp_path / "dogs"
    assert dataset.splits == {"train": 6, "valid": 2, "test": 2}
    assert seen[-1] == (len(server.body), len(server.body))
    assert leftovers(tmp_path) == ["dogs"]


def test_a_second_download_fetches_nothing(server: Server, tmp_path: Path) -> None:
    server.body = zipped(FILES)
    digest = hashlib.sha256(server.body).hexdigest()
    first = BreedDataset.download(server.url, tmp_path / "dogs")
    for again in (
        BreedDataset.download(server.url, tmp_path / "dogs"),
        BreedDataset.download(server.url, tmp_path / "dogs", sha256=digest.upper()),
        BreedDataset.download(f"{server.url}?a=new-signature", tmp_path / "dogs", sha256=digest),
    ):
        assert (again.root, again.splits) == (first.root, first.splits)
    assert len(server.requests) == 1
    assert leftovers(tmp_path / "dogs") == ["download.json", "test", "train", "valid"]
    assert "download.json" not in str(first.check())


@pytest.mark.parametrize(("query", "sha256"), [("?id=2", None), ("", "0" * 64)])
def test_another_download_is_not_taken_for_the_one_that_is_there(
    server: Server, tmp_path: Path, query: str, sha256: str | None
) -> None:
    server.body = zipped(FILES)
    BreedDataset.download(server.url.replace("//", "//me:hunter2@"), tmp_path / "dogs")
    with pytest.raises(
        DatasetError, match=r"was downloaded from http://127\.0\.0\.1:\d+/dogs\.zip \(SHA-256"
    ) as caught:
        BreedDataset.download(server.url + query, tmp_path / "dogs", sha256=sha256)
    assert f"not from {server.url}{'?…' if query else ''}" in str(caught.value)
    assert "hunter2" not in str(caught.value) + (tmp_path / "dogs" / "download.json").read_text()
    assert len(server.requests) == 1


def test_a_folder_that_is_no_download_is_not_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dogs" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="already exists and is not empty"):
        BreedDataset.download(server.url, tmp_path / "dogs")


def test_a_digest_that_can_be_none_is_refused_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="64 hexadecimal digits"):
        BreedDataset.download(server.url, tmp_path / "dogs", sha256="abc")
    assert server.requests == []


def test_the_command_downloads_once_and_says_so(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = zipped(FILES)
    command = ["data", "download", server.url, str(tmp_path / "dogs"), "--json"]
    for said in ("unpacking", "already holds this download; nothing was downloaded"):
        outcome = data_commands.download(parse(command))
        assert outcome.document["splits"] == {"train": 6, "valid": 2, "test": 2}
        assert said in capsys.readouterr().err
    assert len(server.requests) == 1


def test_a_broken_connection_is_continued_within_the_call(server: Server, tmp_path: Path, small_steps: None) -> None:
    server.body = zipped(FILES)
    server.break_after = [100, 200]
    path = archives.fetch(server.url, tmp_path)
    assert path.read_bytes() == server.body
    assert server.requests == [None, "bytes=100-", "bytes=300-"]


def test_an_interrupted_download_is_continued_by_the_next_call(
    server: Server, tmp_path: Path, small_steps: None
) -> None:
    server.body = zipped(FILES)
    with pytest.raises(KeyboardInterrupt):
        archives.fetch(server.url, tmp_path, progress=_interrupt)
    assert archives.fetch(server.url, tmp_path).read_bytes() == server.body
    assert server.requests == [None, "bytes=50-"]


def test_a_killed_download_fetches_only_the_rest_and_shows_nothing_before(server: Server, tmp_path: Path) -> None:
    noise = random.Random(1)
    server.body = zipped({name: noise.randbytes(60_000) for name in FILES})
    half = len(server.body) // 2
    server.break_after = [half]
    server.goes_on.clear()
    program = (
        f"from dogbreed_sdk import BreedDataset; BreedDataset.download({server.url!r}, {str(tmp_path / 'dogs')!r})"
    )

    def received() -> int:
        return sum(path.stat().st_size for path in tmp_path.glob(".download-*.part"))

    with subprocess.Popen([sys.executable, "-c", program]) as process:
        wait_for(lambda: received() > half - 2 * archives._CHUNK)
        process.kill()
    server.goes_on.set()
    assert not (tmp_path / "dogs").exists()
    here = received()
    assert len(BreedDataset.download(server.url, tmp_path / "dogs")) == len(FILES)
    assert server.requests == [None, f"bytes={here}-"]
    assert leftovers(tmp_path) == ["dogs"]
    for name in FILES:
        assert (tmp_path / "dogs" / name.removeprefix("dogImages/")).stat().st_size == 60_000


def test_two_processes_that_download_the_same_write_one_part_after_the_other(server: Server, tmp_path: Path) -> None:
    server.body = zipped(FILES)
    threads = [Thread(target=archives.fetch, args=(server.url, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [fetched] = tmp_path.iterdir()
    assert fetched.read_bytes() == server.body
    assert len(server.requests) == 1


def test_without_an_address_the_dog_breeds_are_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str, *_: object, **__: object) -> Path:
        asked.append(url)
        (tmp_path / "archive").write_bytes(zipped(FILES))
        return tmp_path / "archive"

    monkeypatch.setattr(archives, "fetch", fetch)
    assert BreedDataset.download(dest=tmp_path / "dogs").splits == {"train": 6, "valid": 2, "test": 2}
    options = parse(["data", "download", str(tmp_path / "dogs")])
    assert (options.url, options.dest) == (asked[0], tmp_path / "dogs")
    assert asked[0].startswith("https://s3-us-west-1.amazonaws.com/udacity-aind/")


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path, small_steps: None) -> None:
    server.body = b"old" * 100
    with pytest.raises(KeyboardInterrupt):
        archives.fetch(server.url, tmp_path, progress=_interrupt)
    server.body, server.etag = b"new" * 120, '"2"'
    assert archives.fetch(server.url, tmp_path).read_bytes() == b"new" * 120


def _interrupt(done: int, total: int) -> None:
    raise KeyboardInterrupt


def test_a_server_without_ranges_is_asked_for_all_again(server: Server, tmp_path: Path) -> None:
    server.body, server.ranges, server.break_after = b"x" * 1000, False, [400]
    assert archives.fetch(server.url, tmp_path).read_bytes() == server.body


def test_temporary_errors_are_waited_out(server: Server, tmp_path: Path) -> None:
    server.body, server.statuses = b"content", [503, 429, 500]
    assert archives.fetch(server.url, tmp_path).read_bytes() == b"content"


def test_a_server_that_keeps_failing_is_given_up(server: Server, tmp_path: Path) -> None:
    server.statuses = [503] * 20
    with pytest.raises(DatasetError, match="503"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert len(server.requests) == 5


def test_a_refusal_is_final_and_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(DatasetError, match="404"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("statuses", [[404], [503] * 20, []])
def test_secrets_of_a_url_stay_out_of_errors(server: Server, tmp_path: Path, statuses: list[int]) -> None:
    server.statuses = statuses
    url = server.url.replace("//", "//me:hunter2@") + "?X-Amz-Signature=hunter2"
    with pytest.raises(DatasetError, match=r"/dogs\.zip") as caught:
        archives.fetch(url, tmp_path, sha256="0" * 64)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_another_content_than_expected_is_deleted(server: Server, tmp_path: Path) -> None:
    server.body = zipped(FILES)
    with pytest.raises(DatasetError, match="its SHA-256 is"):
        BreedDataset.download(server.url, tmp_path / "dogs", sha256="0" * 64)
    assert leftovers(tmp_path) == []


def test_only_the_web_is_downloaded_from(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither an http"):
        BreedDataset.download("ftp://example.com/x.zip", tmp_path / "dogs")


def test_a_folder_that_holds_something_is_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError, match="already exists and is not empty"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert server.requests == []


def test_a_web_page_is_no_archive_and_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.body = b"<html>sign in first</html>"
    with pytest.raises(DatasetError, match="neither a zip nor a tar"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png", "a/\\..\\..\\e.png"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str, pack) -> None:
    (tmp_path / "archive").write_bytes(pack({"fine.png": b"x", name: b"evil"}))
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="leads outside"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")
    assert leftovers(tmp_path) == ["archive", "inner"]
    assert leftovers(tmp_path / "inner") == ["fine.png"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="link or device"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")
    assert leftovers(tmp_path / "inner") == []


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="link or device"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    monkeypatch.setattr(archives, "_HARMLESS_BYTES", 1_000_000)
    (tmp_path / "archive").write_bytes(pack({f"{number}.png": bytes(2_000_000) for number in range(4)}))
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="decompression bomb"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")
    assert sum(path.stat().st_size for path in (tmp_path / "inner").iterdir()) < 4_000_000


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(zipped({f"{number}.png": b"" for number in range(20)}))
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="more than 10 files"):
        archives.extract(tmp_path / "archive", tmp_path / "inner", max_files=10)


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: tarred(files, "w:xz")])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_a_cut_off_archive_is_an_error(tmp_path: Path, pack, kept: float) -> None:
    data = pack(FILES)
    (tmp_path / "archive").write_bytes(data[: int(len(data) * kept)])
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match=r"broken|neither a zip"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with tarfile.open(tmp_path / "archive", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    with pytest.raises(DatasetError, match="twice"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")


def pax_bomb(size: int) -> bytes:
    """A tar whose one extended header says, truly, that it is so large."""
    header = tarfile.TarInfo("PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, size
    return gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(size) + tarfile.TarInfo("a.jpg").tobuf())


def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(pax_bomb(48 << 20))
    (tmp_path / "inner").mkdir()
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"header of .* bytes: a bomb"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_what_is_skipped_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_HARMLESS_BYTES", 1_000_000)
    (tmp_path / "archive").write_bytes(tarred({"__MACOSX/x": bytes(8_000_000)}))
    (tmp_path / "inner").mkdir()
    with pytest.raises(DatasetError, match="decompression bomb"):
        archives.extract(tmp_path / "archive", tmp_path / "inner")


def test_long_names_and_many_sizes_come_out_as_they_went_in(tmp_path: Path) -> None:
    files = {f"{'long' * 40}/{size}.png": bytes([size % 251]) * size for size in (0, 1, 511, 512, 513, 70_000, 3 << 20)}
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        (tmp_path / "archive").write_bytes(tarred(files, mode))
        inner = tmp_path / mode.replace(":", "")
        inner.mkdir()
        archives.extract(tmp_path / "archive", inner)
        assert {path.relative_to(inner).as_posix(): path.read_bytes() for path in inner.glob("*/*")} == files


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("at", [0.5, 0.9])
def test_a_flipped_byte_is_found_and_the_file_not_kept(server: Server, tmp_path: Path, mode: str, at: float) -> None:
    noise = random.Random(1)
    data = bytearray(tarred({f"train/a/{number}.png": noise.randbytes(4000) for number in range(20)}, mode))
    data[int(len(data) * at)] ^= 0xFF
    server.body = bytes(data)
    with pytest.raises(DatasetError, match="broken"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_file_in_the_place_of_a_folder_leaves_nothing_behind(
    server: Server, tmp_path: Path, names: tuple[str, ...], pack
) -> None:
    server.body = pack(dict.fromkeys(names, b"x"))
    with pytest.raises(DatasetError, match="twice"):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("number", "kept"), [(errno.ENOSPC, True), (errno.ENAMETOOLONG, False)])
def test_only_want_of_room_keeps_an_archive_that_could_not_be_unpacked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kept: bool
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archives, "_write", fail)
    server.body = zipped(FILES)
    with pytest.raises(DatasetError, match=os.strerror(number)):
        BreedDataset.download(server.url, tmp_path / "dogs")
    assert bool(leftovers(tmp_path)) == kept


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_macos_adds_is_no_part_of_a_data_set(server: Server, tmp_path: Path, pack) -> None:
    classes = {f"dogs/{name}/{number}.png": picture(number) for name in ("Boxer", "Pug") for number in range(3)}
    server.body = pack(classes | {f"__MACOSX/{name}": b"junk" for name in classes})
    assert BreedDataset.download(server.url, tmp_path / "dogs").classes == ("Boxer", "Pug")


def test_the_folder_is_as_private_as_the_umask_says(server: Server, tmp_path: Path) -> None:
    server.body = zipped(FILES)
    before = os.umask(0o027)
    try:
        BreedDataset.download(server.url, tmp_path / "dogs")
    finally:
        os.umask(before)
    assert (tmp_path / "dogs").stat().st_mode & 0o777 == 0o750


def test_a_tar_that_ends_with_a_zip_is_taken_for_what_it_is(tmp_path: Path) -> None:
    archive = tmp_path / "bundle.tar"
    archive.write_bytes(tarred({"a.txt": b"a", "weights.zip": zipped({"b.txt": b"b"})}, "w"))
    assert zipfile.is_zipfile(archive)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    archives.extract(archive, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "weights.zip"]
