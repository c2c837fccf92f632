"""Keeps a local copy of a recording on S3; loading it again downloads only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

from dogbreed_sdk.aws.storage import Storage, StoredFile, join
from dogbreed_sdk.aws.transfers import TRANSFER_THREADS
from dogbreed_sdk.debugging.sources.layout import REPORT_RULES
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.atomic import write_atomically
from training_scripts._util.number_text import counted
from training_scripts.features.files import COST_FILE

# More than any recording of reductions; a limit for full tensors on a laptop's disk.
MAX_BYTES = 4 * 2**30
MAX_FILES = 100_000
# Two hundred requests, half a minute: a listing of an entire bucket ends here.
MAX_LISTED = 200_000
MAX_SKIPPED_NAMED = 5
# Copies that were not used for this long are removed.
KEEP_SECONDS = 30 * 86_400
_PARTS = frozenset(
    {
        "debug-output",
        "profiler-output",
        "rule-output",
        "profiler-reports",
        "events",
        "index",
        "collections",
        "checksums",
        "system",
        "framework",
    }
)
_SINGLE_FILES = frozenset(
    {"training_job_end.ts", "run.json", "rules.json", COST_FILE, *(f"{name}.json" for name in REPORT_RULES)}
)
_NOT_READ = frozenset({".html", ".ipynb", ".gz", ".pth", ".pt"})
# Suffixes of incomplete files; they may be gone before they are downloaded.
_UNFINISHED = frozenset({".tmp", ".part", ".partial"})
# File -> mark of the downloaded version, kept in the copy: the size alone does not show that a file was rewritten.
_LEDGER = ".fetched.json"


def cache_root() -> Path:
    """The folder of all copies: ``$XDG_CACHE_HOME/dogbreed/recordings``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed" / "recordings"


def fetch(uri: str, storage: Storage) -> tuple[Path, list[str]]:
    """Downloads the recording below a URI to a local folder; also returns one sentence for each thing left out.

    Raises:
        AccessError: The credentials do not allow listing the URI or reading a file.
    """
    folder = cache_root() / hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    _forget_old_ones(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    listed, problems = _listed(uri, storage)
    chosen, left_out = _within_bounds(listed, uri)
    _remove_others(folder, chosen)
    return folder, [*problems, *left_out, *_about_skipped(_completed(folder, chosen, uri, storage))]


def _completed(folder: Path, chosen: Mapping[str, StoredFile], uri: str, storage: Storage) -> dict[str, str]:
    """Downloads new files; returns name -> reason for those that failed. Remembers the others even after an error."""
    known = _ledger(folder)
    marks = {file.name: file.mark for file in chosen.values() if _is_there(folder, file, known)}
    missing = [file for file in chosen.values() if file.name not in marks]
    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        futures = [pool.submit(_fetched, storage, join(uri, file.name), folder / file.name) for file in missing]
        skipped: dict[str, str] = {}
        try:
            for file, future in zip(missing, futures, strict=True):
                if reason := future.result():
                    skipped[file.name] = reason
                else:
                    marks[file.name] = file.mark
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            if marks != known:
                write_atomically(folder / _LEDGER, json.dumps(marks).encode())
    return skipped


def _listed(uri: str, storage: Storage) -> tuple[dict[str, StoredFile], list[str]]:
    """Lists the recording's files, up to a limit."""
    found: dict[str, StoredFile] = {}
    for count, file in enumerate(storage.files(uri)):
        if count >= MAX_LISTED:
            return found, [
                f"{uri} contains more than {MAX_LISTED:,} files; only those were considered. Pass a job's folder."
            ]
        if _is_part(file.name):
            found[file.name] = file
    above = {parent.as_posix() for name in found for parent in PurePosixPath(name).parents}
    odd = sorted(above & found.keys())  # on S3 a file and a folder may have the same name
    problems = [f"{uri}: {name} is a file and a folder; the file was left out." for name in odd[:MAX_SKIPPED_NAMED]]
    return {name: file for name, file in found.items() if name not in above}, problems


def _fetched(storage: Storage, uri: str, path: Path) -> str:
    """Downloads one file; returns why it failed, since the recording is usable without it."""
    try:
        storage.download_file(uri, path)
    except ConfigurationError:
        return "it was deleted before it was downloaded"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _about_skipped(skipped: Mapping[str, str]) -> list[str]:
    named = [f"{name} was left out: {reason}." for name, reason in list(skipped.items())[:MAX_SKIPPED_NAMED]]
    more = len(skipped) - len(named)
    return [*named, *([f"{counted(more, 'more file')} left out for similar reasons."] if more else [])]


def _is_part(name: str) -> bool:
    """Whether a file belongs to a recording; a key that leads out of the folder does not."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name
    part = path.name in _SINGLE_FILES or not _PARTS.isdisjoint(path.parts[:-1])
    finished = path.suffix not in _UNFINISHED and not path.name.startswith(".")
    return plain and part and finished and path.suffix not in _NOT_READ


def _within_bounds(listed: Mapping[str, StoredFile], uri: str) -> tuple[dict[str, StoredFile], list[str]]:
    """Limits the files: first those that describe the recording, then its events from the beginning."""
    chosen: dict[str, StoredFile] = {}
    total = 0
    for name in sorted(listed, key=lambda name: ("events" in PurePosixPath(name).parts, name)):
        if len(chosen) >= MAX_FILES or total + listed[name].size > MAX_BYTES:
            sizes = [file.size for file in listed.values()]
            left_out = (
                f"{uri} contains {len(listed):,} files with {_gigabytes(sizes)}; {len(listed) - len(chosen):,} of "
                f"them were left out (at most {MAX_FILES:,} files and {_gigabytes([MAX_BYTES])} are fetched). "
                "Record reductions instead of full tensors, or less often."
            )
            return chosen, [left_out]
        chosen[name] = listed[name]
        total += listed[name].size
    return chosen, []


def _is_there(folder: Path, file: StoredFile, known: Mapping[str, str]) -> bool:
    path = folder / file.name
    try:
        return known.get(file.name) == file.mark and path.is_file() and path.stat().st_size == file.size
    except OSError:  # a name that the file system does not allow
        return False


def _ledger(folder: Path) -> dict[str, str]:
    """Name -> mark of earlier downloads; empty without any."""
    try:
        content = json.loads((folder / _LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remove_others(folder: Path, kept: Mapping[str, StoredFile]) -> None:
    """Removes files that were deleted on S3, or an old recording would be mixed with the new one."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside a folder comes before it
        with suppress(OSError):  # a folder that is not empty; or another process was here first
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.relative_to(folder).as_posix() not in kept and not path.name.startswith("."):
                path.unlink()


def _gigabytes(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e9:.1f} GB"


def _forget_old_ones(keep: Path) -> None:
    for folder in cache_root().glob("*"):
        with suppress(FileNotFoundError):  # another process removed it
            if folder != keep and time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
