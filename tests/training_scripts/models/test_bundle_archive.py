"""An archive is judged by what its headers announce: nothing that no bundle holds is read, let alone unpacked."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dogbreed_sdk import BreedClassifier, ConfigurationError, LabelError, LabelMap
from training_scripts.models import bundle_archive
from training_scripts.models.bundle import read_description
from training_scripts.models.bundle_archive import extract, extract_all
from training_scripts.models.description import BundleError

NAMES = ("model.json", "model.pth")


def announced(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header of a file that does not follow."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def packed(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    return path


def unpack(archive: Path, folder: Path) -> None:
    extract(archive, folder, NAMES, check_weights=bool)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (announced("zeros.bin", 4 << 30), "declares 4,096 MiB for 'zeros.bin', so that it unpacks to more than 100"),
        (announced("model.pth", 2500 << 20), "declares 2,500 MiB for 'model.pth', so that"),
        (announced("model.json", 17 << 20), "declares 17 MiB for 'model.json', more than the 16 MiB"),
        (announced("a/" * 110 + "b", 0), "is nested more than 100 folders deep"),
        (announced("model.json", 4 << 30, tarfile.XHDTYPE), "a header of 4,294,967,296 bytes: a bomb"),
        (announced("./@LongLink", 1 << 30, tarfile.GNUTYPE_LONGNAME), "a header of 1,073,741,824 bytes: a bomb"),
    ],
)
@pytest.mark.parametrize("use", [read_description, unpack, extract_all])
def test_what_no_bundle_holds_is_refused_before_it_is_read(
    tmp_path: Path, content: bytes, says: str, use: Callable[..., object]
) -> None:
    archive = packed(tmp_path, content)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match=says):
        use(archive) if use is read_description else use(archive, tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_large_archive_may_not_hold_just_anything_beside_the_weights(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar"
    archive.write_bytes(announced("dataset.zip", 600 << 20))
    with archive.open("r+b") as file:
        file.truncate(600 << 20)  # sparse
    with pytest.raises(BundleError, match="a bundle holds at most 512 MiB beside"):
        unpack(archive, tmp_path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_archive, "MAX_MEMBERS", 100)
    with pytest.raises(BundleError, match="holds more than 100 files"):
        unpack(packed(tmp_path, announced("empty", 0) * 200), tmp_path)


def test_users_are_told_which_archive_and_what_of_it(tmp_path: Path) -> None:
    archive = packed(tmp_path, announced("zeros.bin", 4 << 30))
    with pytest.raises(ConfigurationError, match=r"model\.tar\.gz declares 4,096 MiB for 'zeros\.bin'"):
        BreedClassifier.from_bundle(archive)
    with pytest.raises(LabelError, match=r"model\.tar\.gz declares 4,096 MiB for 'zeros\.bin'"):
        LabelMap.from_bundle(archive)


def bundle_with_large_weights(written_bundle: Path, target: Path, *, description_first: bool) -> Path:
    """A bundle whose archive has grown to hide how much its weights grow."""
    description = (written_bundle / "model.json").read_bytes()
    files = [("model.json", description), ("model.pth", bytes(60_000_000))]
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        for name, content in files if description_first else reversed(files):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize("description_first", [True, False])
def test_weights_of_another_networks_size_are_refused(
    written_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description_first: bool
) -> None:
    archive = bundle_with_large_weights(written_bundle, tmp_path / "model.tar.gz", description_first=description_first)
    unpacked: list[str] = []
    original = bundle_archive._content
    monkeypatch.setattr(
        bundle_archive, "_content", lambda tar, member: unpacked.append(member.name) or original(tar, member)
    )
    with pytest.raises(ConfigurationError, match=r"model\.pth has 57\.2 MiB, but that network has 13\.1 MiB"):
        BreedClassifier.from_bundle(archive)
    assert unpacked == (["model.json"] if description_first else ["model.pth", "model.json"])


def test_what_follows_the_last_file_is_never_read(written_bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar"
    with tarfile.open(archive, "w") as tar:
        for name in NAMES:
            tar.add(written_bundle / name, f"./{name}")
        end = tar.offset
    archive.write_bytes(archive.read_bytes()[:end] + announced("zeros", 1 << 40))
    (tmp_path / "folder").mkdir()
    unpack(archive, tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == sorted(NAMES)


def test_the_archive_is_named_and_not_the_folder_that_it_was_unpacked_to(written_bundle: Path, tmp_path: Path) -> None:
    description = json.loads((written_bundle / "model.json").read_text())
    archive = tmp_path / "model.tar.gz"
    weights = (written_bundle / "model.pth").read_bytes()
    cases: list[tuple[dict[str, object], bytes, str]] = [
        ({"temperature": 1e-320}, weights, f"{archive}: model.json is invalid: temperature must be from"),
        ({}, weights[:-100] + bytes(100), f"The bundle {archive} cannot be used: "),
    ]
    for changes, content, says in cases:
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for name, body in (("model.json", json.dumps(description | changes).encode()), ("model.pth", content)):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
        with pytest.raises(ConfigurationError) as caught:
            BreedClassifier.from_bundle(archive)
        assert str(caught.value).startswith(says)
        assert "partial" not in str(caught.value)
