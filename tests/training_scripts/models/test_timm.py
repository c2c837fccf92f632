"""timm's models by name: timm's own numbers, networks and weights, from its registry only."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image

timm = pytest.importorskip("timm")
from safetensors.torch import save_file  # noqa: E402 - comes with timm

from training_scripts.data import preprocessing  # noqa: E402
from training_scripts.models import backbones, bundle_writer, explanation, folding, heads, state_dicts  # noqa: E402
from training_scripts.models import model as models  # noqa: E402
from training_scripts.models.backbones import create, spec  # noqa: E402
from training_scripts.models.spec import BackboneError  # noqa: E402
from training_scripts.models.unfreezing import unfreeze_last  # noqa: E402

# Tiny networks that timm registers for tests.
CONVOLUTIONS, TRANSFORMER = "timm:test_resnet.r160_in1k", "timm:test_vit"


@pytest.fixture(scope="module")
def whole() -> torch.nn.Module:
    torch.manual_seed(2)
    return cast(torch.nn.Module, timm.create_model("test_resnet", pretrained=False)).eval()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    gradient = Image.linear_gradient("L").resize((300, 200))
    return Image.merge("RGB", [gradient, gradient.rotate(180), gradient])


def test_pictures_are_prepared_as_timm_prepares_them(picture: Image.Image) -> None:
    found = spec("timm:convnext_tiny.in12k")
    assert (found.name, found.feature_width, found.origin) == ("timm:convnext_tiny.in12k", 768, "timm")
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg("convnext_tiny.in12k").to_dict())
    expected = timm.data.create_transform(**config, is_training=False)(picture)
    torch.testing.assert_close(preprocessing.to_tensor(picture, found.preprocessing), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [CONVOLUTIONS, TRANSFORMER, "timm:mobilenetv3_small_050"])
def test_features_are_those_before_the_classifier(name: str) -> None:
    made = spec(name)
    side = made.preprocessing.crop
    network = create(name, weights="none")
    pixels = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        features = network(pixels)
        assert features.shape == (2, made.feature_width)
        theirs = timm.create_model(name.removeprefix("timm:"), pretrained=False).eval()
        theirs.load_state_dict(network.state_dict(), strict=False)
        before = cast(Any, theirs).forward_head(cast(Any, theirs).forward_features(pixels), pre_logits=True)
    torch.testing.assert_close(features, before)


@pytest.mark.parametrize("file", ["model.pth", "model.safetensors"])
def test_a_file_with_weights_of_the_whole_network(whole: torch.nn.Module, tmp_path: Path, file: str) -> None:
    state = {name: tensor.contiguous() for name, tensor in whole.state_dict().items()}
    path = tmp_path / file
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    expected = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    assert state_dicts.digest(create(CONVOLUTIONS, weights=str(path)).state_dict()) == state_dicts.digest(expected)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BackboneError, match="cannot be read as a state dict"):
        create(CONVOLUTIONS, weights=str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:convnext_tny", r"has no model 'convnext_tny'; did you mean .*convnext_tiny"),
        ("timm:hf-hub:somebody/network", r"Names with a source such as hf-hub: are not accepted"),
        ("timm:local-dir:/tmp/network", r"Names with a source such as hf-hub: are not accepted"),
        ("timm:convnext_tiny.fb_in22k_ft_in1k_384", r"expects crop mode squash of 100%, which is not supported"),
    ],
)
def test_what_is_not_registered_or_supported_is_refused(name: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        spec(name)


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_efficientnet_lite_gets_the_pictures_of_its_published_evaluation(variant: int) -> None:
    theirs = timm.get_pretrained_cfg(f"tf_efficientnet_lite{variant}")
    ours = spec(f"efficientnet_lite{variant}").preprocessing
    assert theirs.input_size == (3, ours.crop, ours.crop)
    assert ours.resize == int(ours.crop / theirs.crop_pct)
    assert ours.interpolation == theirs.interpolation


def test_spellings() -> None:
    assert spec("TIMM:Test-ResNet.r160_in1k").name == CONVOLUTIONS


def write(folder: Path, name: str) -> torch.nn.Module:
    network, made, head_spec = create(name, weights="none"), spec(name), heads.HeadSpec()
    bundle_writer.write(
        folder,
        backbone_name=made.name,
        backbone_state=network.state_dict(),
        head=heads.build(head_spec, width=made.feature_width, classes=2),
        head_spec=head_spec,
        classes=("a", "b"),
        preprocessing=made.preprocessing,
        metrics={},
        temperature=1.0,
        fingerprint="f" * 64,
        hyperparameters={},
    )
    return network


# The second has buffers that its state dict leaves out.
@pytest.mark.parametrize("name", [CONVOLUTIONS, "timm:levit_128s"])
def test_a_bundle_is_complete_and_names_its_requirement(tmp_path: Path, name: str) -> None:
    network = write(tmp_path, name)
    assert (tmp_path / "code" / "requirements.txt").read_text() == "timm>=1.0\n"
    loaded = models.load(tmp_path)
    side = loaded.preprocessing.crop
    pixels = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.backbone(pixels), network(pixels), rtol=1e-4, atol=1e-4)


def test_the_last_blocks_can_be_tuned() -> None:
    network = create(TRANSFORMER, weights="none")
    unfreeze_last(network, 2)
    opened = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad and "blocks" in name}
    last = len(cast(torch.nn.Sequential, network.blocks)) - 1
    assert opened == {str(last - 1), str(last)}


def test_an_explanation_where_there_is_a_feature_map() -> None:
    def model_of(name: str) -> models.Model:
        network = folding.for_inference(create(name, weights="none"))
        described = SimpleNamespace(backbone=name, tta="none")
        head = heads.build(heads.HeadSpec(), width=spec(name).feature_width, classes=2).requires_grad_(False)
        return models.Model(network, head, cast(Any, described)).eval()

    pixels = torch.randn(1, 3, 160, 160)
    model = model_of(CONVOLUTIONS)
    found = explanation.contributions(model, pixels, 1)
    bias = cast(torch.nn.Linear, cast(torch.nn.Sequential, model.head)[-1]).bias[1]
    torch.testing.assert_close(found.mean(), model(pixels)[0, 1] - bias, rtol=1e-3, atol=1e-6)
    with pytest.raises(explanation.ExplanationError, match=r"timm:test_vit has no feature map with a grid"):
        explanation.contributions(model_of(TRANSFORMER), pixels, 1)


class Hub(BaseHTTPRequestHandler):
    """What Hugging Face answers for one file."""

    content = b""

    def do_HEAD(self) -> None:
        """Describes the file."""
        self._send(with_content=False)

    def do_GET(self) -> None:
        """Sends the file."""
        self._send(with_content=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Prints nothing."""

    def _send(self, *, with_content: bool) -> None:
        if not self.path.startswith("/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if with_content:
            self.wfile.write(self.content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    constants = pytest.importorskip("huggingface_hub.constants")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield url
        server.shutdown()


def test_pretrained_weights_come_from_timms_hub(
    hub: str, whole: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({name: tensor.contiguous() for name, tensor in whole.state_dict().items()}, tmp_path / "hub.safetensors")
    monkeypatch.setattr(Hub, "content", (tmp_path / "hub.safetensors").read_bytes())
    expected = {name: tensor for name, tensor in whole.state_dict().items() if not name.startswith("fc.")}
    assert state_dicts.digest(create(CONVOLUTIONS).state_dict()) == state_dicts.digest(expected)


def test_without_weights_the_message_names_the_remedies(hub: str) -> None:
    with pytest.raises(BackboneError) as caught:
        create("timm:test_vit.r160_in1k")
    for part in ("https://huggingface.co/timm/test_vit.r160_in1k", "--weights PATH", "efficientnet_lite0"):
        assert part in str(caught.value)
    with pytest.raises(BackboneError, match="timm has no pretrained weights for timm:regnetz_005"):
        create("timm:regnetz_005")
    assert backbones.requirements(CONVOLUTIONS) == "timm>=1.0\n"
