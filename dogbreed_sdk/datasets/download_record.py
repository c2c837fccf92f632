"""Where a downloaded data set came from: a small file beside the pictures, so that nothing is fetched twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dogbreed_sdk.errors import DatasetError
from training_scripts._util.safe_text import redacted

RECORD = "download.json"


@dataclass(frozen=True)
class DownloadRecord:
    """A download.

    Attributes:
        url: Of the archive, without the parts that may be secret.
        url_sha256: SHA-256 of the whole URL, hexadecimal: a query may decide which archive it is.
        sha256: SHA-256 of the archive, hexadecimal.
    """

    url: str
    url_sha256: str
    sha256: str


def is_at(folder: Path, url: str, sha256: str | None) -> bool:
    """Whether a folder holds what is to be downloaded; an expected digest decides before the URL.

    Args:
        folder: Where the data set would be made.
        url: Of the archive.
        sha256: What the archive must hash to, or None.

    Returns:
        False also where the folder is not a download, or not there.

    Raises:
        DatasetError: It holds another download.
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
            "delete it or name another folder"
        )
    return True


def write(folder: Path, url: str, archive: Path) -> None:
    """Records that a folder holds the content of an archive."""
    with archive.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    record = DownloadRecord(redacted(url), _digest_of(url), digest.hexdigest())
    (folder / RECORD).write_text(json.dumps(asdict(record), indent=1))


def _digest_of(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
