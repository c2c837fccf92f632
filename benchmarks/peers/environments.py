"""Environments of peers: each with its own packages, sharing the torch of this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LINK_TORCH = Path(__file__).parents[2] / ".ci" / "link-torch"


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with these packages, which is created if it is not there.

    torch and torchvision are linked from the environment that runs this, so that all compute with the same build.
    """
    python = folder / "bin" / "python"
    if (folder / "complete").is_file():
        return python
    print(f"creating {folder} with {', '.join(packages)} ...", file=sys.stderr, flush=True)
    subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    # A marker that no Python meets keeps the resolver from installing another torch.
    without = folder / "without-torch.txt"
    without.write_text("".join(f"{name} ; python_version < '3'\n" for name in ("torch", "torchvision")))
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", python, "--override", without, *packages], check=True
    )
    subprocess.run([sys.executable, LINK_TORCH, python], check=True)
    (folder / "complete").touch()
    return python
