"""What makes requests the same in every run: a data set of fixed bytes, fixed names, a fixed source."""

from __future__ import annotations

import pytest

from dogbreed_sdk import BreedDataset
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.jobs import source


@pytest.fixture(scope="session")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    """Two classes in three splits. Its files are not pictures, because encoders differ; only jobs would notice."""
    root = tmp_path_factory.mktemp("dogs")
    for split in ("train", "valid", "test"):
        for name in ("001.Affenpinscher", "002.Afghan_hound"):
            folder = root / split / name
            folder.mkdir(parents=True)
            (folder / "1.jpg").write_bytes(f"{split}/{name}".encode())
    return BreedDataset.from_folder(root)


@pytest.fixture(autouse=True)
def _same_names_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated names have no time, and the scripts' digest does not change with each change of a script."""

    def unique_name(base: str, *, max_length: int = names.MAX_NAME_LENGTH) -> str:
        return f"{base}-1"[-max_length:]

    monkeypatch.setattr(names, "unique_name", unique_name)
    monkeypatch.setattr(source, "pack", lambda packages, _: f"the training scripts with {packages}".encode())
