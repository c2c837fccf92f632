"""Packs the training scripts as SageMaker's script mode expects them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import training_scripts
from dogbreed_sdk import container
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session

TRAIN_PROGRAM = "train_model.py"
TUNE_PROGRAM = "hpo.py"
FEATURES_PROGRAM = "extract_features.py"
_PROGRAMS = (TRAIN_PROGRAM, TUNE_PROGRAM, FEATURES_PROGRAM)
_REQUIREMENTS = "requirements.txt"
# RFC 1952 and RFC 1951: a gzip member of unknown time and system, in stored blocks of at most this length.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LONGEST_BLOCK = 65_535


def upload(session: Session, *, packages: Sequence[str] | None = None, requirements: Sequence[str] = ()) -> str:
    """Uploads the packed scripts unless they are already stored, and returns their URI.

    Args:
        session: Where they are stored.
        packages: As `pack` takes it.
        requirements: As `pack` takes it.

    Returns:
        URI of a ``sourcedir.tar.gz`` whose folder is named after its SHA-256.
    """
    packed = pack(None if packages is None else tuple(packages), tuple(requirements))
    uri = join(session.base_uri, "source", hashlib.sha256(packed).hexdigest()[:16], container.SOURCE_ARCHIVE)
    session.storage.write_bytes(packed, uri)
    return uri


@cache
def pack(packages: tuple[str, ...] | None = None, requirements: tuple[str, ...] = ()) -> bytes:
    """The packed training scripts of this installation.

    Args:
        packages: Installed packages to pack beside the scripts, for containers that cannot install any: the archive
            then has no requirements file. None: the container installs what it lacks.
        requirements: What the container lacks besides the lines of `training_scripts/requirements.txt`.

    Raises:
        ConfigurationError: A package is not installed here.
    """
    taken = {} if packages is None else {name: _package_folder(name) for name in packages}
    folder = Path(training_scripts.__file__).parent
    return pack_folder(folder, installs=packages is None, packages=taken, requirements=requirements)


def pack_folder(
    folder: Path,
    *,
    installs: bool = True,
    packages: Mapping[str, Path] | None = None,
    requirements: Sequence[str] = (),
) -> bytes:
    """A .tar.gz of training scripts; the same files give the same bytes, whatever their times, modes and location.

    The entry points are at the top so that ``python train_model.py`` finds the package beside it, and the
    requirements file is there so that AWS's toolkit installs what its container lacks.

    Args:
        folder: The package `training_scripts`.
        installs: Whether the archive has the requirements file.
        packages: Name -> folder of packages to place beside the scripts.
        requirements: Lines that the requirements file at the top gets if it lacks them.
    """
    members = {f"training_scripts/{name}": path for name, path in _files(folder, {".py", ".txt"}).items()}
    top = (*_PROGRAMS, _REQUIREMENTS) if installs else _PROGRAMS
    members |= {name: folder / name for name in top}
    for package, place in (packages or {}).items():
        members |= {f"{package}/{name}": path for name, path in _files(place, {".py", ".pth"}).items()}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, path in sorted(members.items()):
            content = path.read_bytes()
            if name == _REQUIREMENTS:
                there = content.decode().splitlines()
                content += "".join(f"{line}\n" for line in requirements if line not in there).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return _stored_gzip(raw.getvalue())


def _files(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """The files below a folder with these suffixes, by relative name; without caches and hidden files."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.suffix in suffixes}
    return {
        name.as_posix(): path
        for name, path in found.items()
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
    }


def _package_folder(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ConfigurationError(
            f"A job without a network takes the package {name} along, and it is not installed here: "
            f"pip install {name.replace('_', '-')}"
        )
    return Path(found.origin).parent


def _stored_gzip(content: bytes) -> bytes:
    """Content in gzip's format, uncompressed: compressed bytes would depend on the version of zlib."""
    blocks = [content[start : start + _LONGEST_BLOCK] for start in range(0, len(content), _LONGEST_BLOCK)] or [b""]
    written = [_GZIP_HEADER]
    for number, block in enumerate(blocks, start=1):
        size = len(block)
        written += [struct.pack("<BHH", number == len(blocks), size, size ^ 0xFFFF), block]
    written.append(struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF))
    return b"".join(written)
