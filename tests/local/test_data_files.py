"""The files of a folder that stands for a prefix of S3."""

from __future__ import annotations

import os
from pathlib import Path

from dogbreed_sdk.local.data_files import files_below


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    pugs, cats = tmp_path / "data/pugs", tmp_path / "elsewhere/cats"
    for folder in (pugs, cats):
        folder.mkdir(parents=True)
        (folder / "1.jpg").touch()
    data = pugs.parent
    (data / "cats").symlink_to(cats)
    (data / "again").symlink_to(pugs)
    (data / "a.jpg").symlink_to(pugs / "1.jpg")
    for number in range(3):  # without a limit, 3 to the power of 40 paths
        (pugs / f"circle-{number}").symlink_to(data)
    (data / "broken").symlink_to("nowhere")
    os.mkfifo(data / "pipe")
    found = [path.relative_to(data).as_posix() for path in files_below(data)]
    assert found == ["a.jpg", "again/1.jpg", "cats/1.jpg", "pugs/1.jpg"]
