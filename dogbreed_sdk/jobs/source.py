"""Packs the training scripts as SageMaker's script mode expects them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from functools import cache
from pathlib import Path

import training_scripts
from dogbreed_sdk import container
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.session import Session

TRAIN_PROGRAM = "train_model.py"
TUNE_PROGRAM = "hpo.py"
FEATURES_PROGRAM = "extract_features.py"
_AT_THE_TOP = (TRAIN_PROGRAM, TUNE_PROGRAM, FEATURES_PROGRAM, "requirements.txt")


def upload(session: Session) -> str:
    """Uploads the packed scripts unless they are already stored, and returns their URI.

    Returns:
        URI of a ``sourcedir.tar.gz`` whose folder is named after its SHA-256.
    """
    packed = pack()
    uri = join(session.base_uri, "source", hashlib.sha256(packed).hexdigest()[:16], container.SOURCE_ARCHIVE)
    session.storage.write_bytes(packed, uri)
    return uri


@cache
def pack() -> bytes:
    """A reproducible .tar.gz with the entry points at the top and the package `training_scripts` beside them.

    The entry points are at the top so that ``python train_model.py`` finds the package beside it, and the
    requirements file is there so that AWS's toolkit installs what its container lacks.
    """
    package = Path(training_scripts.__file__).parent
    members = {f"training_scripts/{path.relative_to(package).as_posix()}": path for path in _sources(package)}
    members |= {name: package / name for name in _AT_THE_TOP}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, path in sorted(members.items()):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _sources(package: Path) -> list[Path]:
    return [path for path in package.rglob("*") if path.suffix in {".py", ".txt"} and "__pycache__" not in path.parts]
