"""Records where a downloaded data set came from, in a small file beside the pictures, to avoid a second download."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dogbreed_sdk.errors import DatasetError
from training_scripts._util import hashing
from training_scripts._util.safe_text import redacted

RECORD = "download.json"


@dataclass(frozen=True)
class DownloadRecord:
    """The source of a downloaded data set.

    Attributes:
        url: URL of the archive, without parts that may be secret.
        url_sha256: SHA-256 of the whole URL, hexadecimal: the query may select the archive.
        sha256: SHA-256 of the archive, hexadecimal.
    """

    url: str
    url_sha256: str
    sha256: str


def is_at(folder: Path, url: str, sha256: str | None) -> bool:
    """Whether a folder already holds a download; compared by digest if one is given, else by URL.

    Args:
        folder: Folder of the data set.
        url: URL of the archive.
        sha256: Expected SHA-256 of the archive, or None.

    Returns:
        False if the folder does not exist or does not hold a download.

    Raises:
        DatasetError: The folder holds another download.
    """
    try:
        found = DownloadRecord(**json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return False
    same = found.url_sha256 == _digest_of(url) if sha256 is None else found.sha256 == sha256.lower()
    if not same:
        wanted = redacted(url) if sha256 is None else f"{redacted(url)} with the SHA-256 {sha256.lower()}"
        raise DatasetError(
            f"{folder} was downloaded from {found.url} (SHA-256 {found.sha256}), not from {wanted}; "
            "delete it or choose another folder"
        )
    return True


def write(folder: Path, url: str, archive: Path) -> None:
    """Writes the record of an archive into the folder that holds its content."""
    record = DownloadRecord(redacted(url), _digest_of(url), hashing.sha256_of(archive))
    (folder / RECORD).write_text(json.dumps(asdict(record), indent=1))


def _digest_of(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
