"""Keeps a local copy of a recording that lies on S3; each look at it fetches only what is new."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from dogbreed_sdk.debugging.loading_layout import REPORT_RULES
from dogbreed_sdk.storage import TRANSFER_THREADS, Storage, join

# More than any recording of reductions, and what a laptop's disk bears of full tensors.
MAX_BYTES = 4 * 2**30
MAX_FILES = 100_000
# Copies that nobody has looked at for so long are removed.
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
        "system",
        "framework",
    }
)
_SINGLE_FILES = frozenset({"training_job_end.ts", "run.json", "rules.json", *(f"{name}.json" for name in REPORT_RULES)})
_NOT_READ = frozenset({".html", ".ipynb", ".gz", ".pth", ".pt"})
# Rewritten in place, perhaps with as many bytes as before.
_REWRITTEN = _SINGLE_FILES | {"worker_0_collections.json"}


def cache_root() -> Path:
    """Where copies are kept: ``$XDG_CACHE_HOME/dogbreed/recordings``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed" / "recordings"


def fetch(uri: str, storage: Storage) -> tuple[Path, list[str]]:
    """A local folder with the recording's files below a URI, and a sentence for everything left out.

    Raises:
        AccessError: The listing or a file is not ours to read.
    """
    folder = cache_root() / hashlib.sha256(uri.encode()).hexdigest()[:24]
    _forget_old_ones(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    listed = {name: size for name, size in storage.sizes(uri).items() if _is_part(name)}
    chosen, problems = _within_bounds(listed, uri)
    missing = [name for name, size in chosen.items() if not _is_there(folder / name, size)]
    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        futures = [pool.submit(storage.download_file, join(uri, name), folder / name) for name in missing]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return folder, problems


def _is_part(name: str) -> bool:
    """Whether a file belongs to a recording; keys are anybody's choice, so one that leads elsewhere does not."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name
    part = path.name in _SINGLE_FILES or not _PARTS.isdisjoint(path.parts[:-1])
    return plain and part and path.suffix not in _NOT_READ


def _within_bounds(listed: Mapping[str, int], uri: str) -> tuple[dict[str, int], list[str]]:
    """As many files as we keep: what describes the recording first, then its events from the beginning."""
    chosen: dict[str, int] = {}
    total = 0
    for name in sorted(listed, key=lambda name: ("events" in PurePosixPath(name).parts, name)):
        if len(chosen) >= MAX_FILES or total + listed[name] > MAX_BYTES:
            left_out = (
                f"{uri} holds {len(listed)} files with {_gigabytes(listed.values())}; {len(listed) - len(chosen)} of "
                f"them were left out (at most {MAX_FILES} files and {_gigabytes([MAX_BYTES])} are fetched). "
                "Record reductions instead of full tensors, or less often."
            )
            return chosen, [left_out]
        chosen[name] = listed[name]
        total += listed[name]
    return chosen, []


def _is_there(path: Path, size: int) -> bool:
    return path.name not in _REWRITTEN and path.is_file() and path.stat().st_size == size


def _gigabytes(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e9:.1f} GB"


def _forget_old_ones(keep: Path) -> None:
    for folder in cache_root().glob("*"):
        if folder != keep and time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
