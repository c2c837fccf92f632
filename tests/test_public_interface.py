"""What programs rely on stays: public names, commands with their options, JSON keys, routes, the files of a bundle.

A change here is a change that users notice, so it belongs into CHANGELOG.md. Then write the file of the interface anew:
`python -m tests.test_public_interface`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

import dogbreed_sdk
from dogbreed_sdk import DebugReport
from dogbreed_sdk.cli.parser import make_parser
from dogbreed_sdk.service import create_app
from dogbreed_sdk.testing import FakeEndpoint
from tests.debugging.insights_made_up import made_up_run
from tests.training_scripts.conftest import write_bundle

pytestmark = pytest.mark.extras

INTERFACE = Path(__file__).with_name("public_interface.json")


def commands(parser: argparse.ArgumentParser, name: str = "dogbreed") -> dict[str, list[str]]:
    """Every command -> its options, and its arguments in capital letters."""
    found: dict[str, list[str]] = {name: []}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                found |= commands(below, f"{name} {word}")
        else:
            found[name].append("/".join(action.option_strings) or action.dest.upper())
    return {command: sorted(options) for command, options in found.items()}


def interface(folder: Path) -> dict[str, Any]:
    """The interface as it is; writes a bundle into the folder."""
    report = DebugReport("a run", trial=made_up_run()).to_dict()
    service = create_app(FakeEndpoint(["Beagle", "Boxer"]).classifier()).openapi()
    bundle = write_bundle(folder)
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    return {
        "names": sorted(dogbreed_sdk.__all__),
        "commands": commands(make_parser()),
        "routes": {path: sorted(operations) for path, operations in sorted(service["paths"].items())},
        "report": sorted(report),
        "rule": sorted(report["rules"][0]),
        "insight": sorted(report["insights"][0]),
        "bundle": sorted(name for name in files if not name.startswith("code/training_scripts/")),
        "model.json": sorted(json.loads((bundle / "model.json").read_text(encoding="utf-8"))),
    }


def test_what_programs_rely_on_stays(tmp_path: Path) -> None:
    kept = json.loads(INTERFACE.read_text(encoding="utf-8"))
    now = interface(tmp_path)
    assert now.keys() == kept.keys()
    for part, value in kept.items():
        assert now[part] == value, part


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        INTERFACE.write_text(json.dumps(interface(Path(made)), indent=1) + "\n", encoding="utf-8")
