"""Whether a backbone's weights can be had: a package, a cache, a server that publishes them, or a file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dogbreed_sdk import ConfigurationError, weights_problem
from training_scripts.models import backbones, efficientnet_lite, torchvision

pytestmark = pytest.mark.extras


class Publisher(BaseHTTPRequestHandler):
    """A server of weights: it has resnet50's, lacks others, and never answers for densenet161."""

    ending = threading.Event()

    def do_GET(self) -> None:
        """Answers."""
        if "densenet161" in self.path:
            self.ending.wait(60)
        elif "resnet50" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(10**9))
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Prints nothing."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Has torchvision's weights published by a server on loopback; the folder is torch's cache."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(torchvision, "published", lambda name: (f"{url}/{name}.pth", tmp_path / f"{name}.pth"))
        Publisher.ending.clear()
        yield tmp_path
        Publisher.ending.set()
        server.shutdown()


def test_published_weights_are_asked_for_but_not_downloaded(publisher: Path) -> None:
    assert weights_problem("resnet50", timeout=60) is None  # without a byte of the content, which never comes
    assert not list(publisher.iterdir())


def test_the_reason_names_backbone_and_server(publisher: Path) -> None:
    found = weights_problem("resnet18", timeout=60)
    assert found == "The pretrained weights of resnet18 cannot be downloaded here (127.0.0.1 answered with status 404)."


def test_a_silent_server_costs_the_timeout(publisher: Path) -> None:
    found = weights_problem("densenet161", timeout=0.3)
    assert found is not None
    assert "127.0.0.1 did not answer within 0.3 s" in found


def test_a_cached_file_needs_no_server(publisher: Path) -> None:
    (publisher / "resnet18.pth").write_bytes(b"weights")
    assert weights_problem("resnet18") is None


def test_without_a_network_the_reason_is_there_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torchvision, "published", lambda name: ("http://127.0.0.1:9/weights.pth", tmp_path / name))
    found = weights_problem("resnet50")
    assert found == "The pretrained weights of resnet50 cannot be downloaded here (127.0.0.1 cannot be reached)."


def test_where_torchvision_publishes_and_torch_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url, cached = torchvision.published("resnet50")
    assert url.startswith("https://download.pytorch.org/models/resnet50-")
    assert cached == tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]


@pytest.mark.parametrize("name", [each for each in backbones.names() if backbones.spec(each).origin == "torchvision"])
def test_files_of_registered_backbones_are_torchvisions_default_weights(name: str) -> None:
    from torch import hub  # noqa: PLC0415 - the other tests of this module need neither
    from torchvision import models  # noqa: PLC0415

    url = models.get_model_weights(name).DEFAULT.url
    assert torchvision.published(name) == (url, Path(hub.get_dir(), "checkpoints", url.rpartition("/")[2]))


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "home/.cache/torch"),
        ({"XDG_CACHE_HOME": "~/mine"}, "home/mine/torch"),
        ({"XDG_CACHE_HOME": "~/mine", "TORCH_HOME": "~/torch"}, "home/torch"),
    ],
)
def test_torchs_cache_is_found_without_importing_it(tmp_path: Path, variables: dict[str, str], folder: str) -> None:
    code = (
        "import sys\nfrom dogbreed_sdk import weights_problem\nfrom training_scripts.models import torchvision\n"
        "cached = torchvision.published('resnet50')[1]\ncached.parent.mkdir(parents=True)\ncached.touch()\n"
        "assert weights_problem('resnet50') is None\nprint(cached, 'torch' in sys.modules)"
    )
    environment = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / folder / 'hub/checkpoints/resnet50-11ad3fa6.pth'} False\n"


def test_timms_weights_in_the_cache_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from huggingface_hub import constants  # noqa: PLC0415 - comes with timm

    name = "timm:test_resnet.r160_in1k"
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert (
        weights_problem(name)
        == f"The pretrained weights of {name} cannot be downloaded here (127.0.0.1 cannot be reached)."
    )
    repository = tmp_path / "models--timm--test_resnet.r160_in1k"
    file = repository / "snapshots" / ("c" * 40) / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    assert weights_problem(name) is None


def test_weights_in_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_problem("efficientnet_lite0") is None
    monkeypatch.setattr(
        efficientnet_lite, "packages", lambda _name, with_weights: (with_weights and "json", "weights_package")
    )
    found = weights_problem("efficientnet_lite0")
    assert found == "The weights of efficientnet_lite0 need packages that are not installed: weights_package."


def test_files_and_random_weights(tmp_path: Path) -> None:
    assert weights_problem("resnet50", "none") is None
    file = tmp_path / "mine.pth"
    assert weights_problem("resnet50", file) == f"The weights file {file} does not exist."
    file.write_bytes(b"weights")
    assert weights_problem("resnet50", file) is None


def test_an_unknown_backbone_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown backbone 'resnet51'; did you mean"):
        weights_problem("resnet51")
