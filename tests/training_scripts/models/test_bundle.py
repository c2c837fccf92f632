"""Bundles: complete in themselves, the same for the same weights, and believed only after a look."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_scripts.conftest import write_bundle
from tests.training_scripts.small_datasets import CLASSES, environment
from training_scripts._util.class_names import display_name
from training_scripts.models import backbones, bundle_writer, heads
from training_scripts.models.bundle import read_description
from training_scripts.models.description import BundleError
from training_scripts.models.model import load


def archive(folder: Path, target: Path, *, prefix: str = "") -> Path:
    with tarfile.open(target, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, prefix + path.relative_to(folder).as_posix(), recursive=False)
    return target


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def put(folder: Path, state: object) -> None:
    """Other weights, with the digest that belongs to them."""
    torch.save(state, folder / "model.pth")
    digest = hashlib.sha256((folder / "model.pth").read_bytes()).hexdigest()
    forge(folder, lambda values: values.update(model_id=digest))


def test_a_bundle_has_weights_description_and_the_code_that_serves_it(written_bundle: Path) -> None:
    files = sorted(path.name for path in written_bundle.iterdir())
    assert files == ["MODEL_CARD.md", "code", "model.json", "model.pth"]
    found = [path for path in (written_bundle / "code").rglob("*.*") if "__pycache__" not in path.parts]
    code = {path.relative_to(written_bundle / "code").as_posix() for path in found}
    assert code == {"inference.py", "requirements.txt"} | {
        f"training_scripts/{name}.py" for name in bundle_writer.SERVING_MODULES
    }
    assert (written_bundle / "code" / "requirements.txt").read_text() == "efficientnet-lite-pytorch>=0.1.0\n"


def test_its_description_says_what_the_model_is(written_bundle: Path) -> None:
    description = read_description(written_bundle)
    assert description.model_id == hashlib.sha256((written_bundle / "model.pth").read_bytes()).hexdigest()
    assert description.classes == tuple(CLASSES)
    assert (description.backbone, description.head) == ("efficientnet_lite0", heads.HeadSpec((8,), 0.5))
    assert description.preprocessing == backbones.spec("efficientnet_lite0").preprocessing
    assert (description.temperature, description.fingerprint) == (1.5, "f" * 64)
    assert description.hyperparameters == {"lr": "0.001"}
    assert description.metrics == {"valid:accuracy": 0.75}, "JSON has no nan"


@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_archive_is_described_without_unpacking_it(written_bundle: Path, tmp_path: Path, prefix: str) -> None:
    packed = archive(written_bundle, tmp_path / "model.tar.gz", prefix=prefix)
    assert read_description(packed) == read_description(written_bundle)
    assert list(tmp_path.iterdir()) == [packed]


def test_the_state_dict_names_backbone_and_head(written_bundle: Path) -> None:
    state = torch.load(written_bundle / "model.pth", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"backbone", "head"}
    assert state["head.3.weight"].shape == (3, 8)


def test_the_same_weights_give_the_same_files(written_bundle: Path, tmp_path: Path) -> None:
    again = write_bundle(tmp_path)
    files = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert len(files) == 5 + len(bundle_writer.SERVING_MODULES)
    for file in files:
        assert (again / file).read_bytes() == (written_bundle / file).read_bytes(), file


def test_the_disk_is_waited_for_once_for_each_file_that_is_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda number: waits.append(Path(f"/proc/self/fd/{number}").readlink()))
    write_bundle(tmp_path)
    ours = [path.relative_to(tmp_path) for path in waits if path.is_relative_to(tmp_path)]
    assert len(ours) == 3  # weights, description, model card
    assert not any("code" in path.parts for path in ours)


def test_a_loaded_model_computes_what_was_trained(written_bundle: Path) -> None:
    model = load(written_bundle)
    assert (model.classes, model.temperature) == (tuple(CLASSES), 1.5)
    assert model.model_id == read_description(written_bundle).model_id
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.manual_seed(0)
    head = heads.build(heads.HeadSpec((8,), 0.5), width=1280, classes=3).eval()
    inputs = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = head(backbones.create("efficientnet_lite0", weights="none")(inputs))
        assert torch.allclose(model(inputs), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["mnasnet0_5", "regnet_x_400mf"])
def test_networks_that_are_particular_when_built_or_filled_are_loaded(tmp_path: Path, name: str) -> None:
    spec = backbones.spec(name)
    backbone = backbones.create(name, weights="none")
    head = heads.build(heads.HeadSpec(), width=spec.feature_width, classes=3).eval()
    bundle_writer.write(
        tmp_path,
        backbone_name=name,
        backbone_state=backbone.state_dict(),
        head=head,
        head_spec=heads.HeadSpec(),
        classes=tuple(CLASSES),
        preprocessing=spec.preprocessing,
        metrics={},
        temperature=1.0,
        fingerprint="f" * 64,
        hyperparameters={},
    )
    inputs = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(load(tmp_path)(inputs), head(backbone(inputs)), atol=1e-4)
    torch.save(backbone.state_dict(), tmp_path / "own.pth")
    assert backbones.create(name, weights=str(tmp_path / "own.pth")).state_dict().keys() == backbone.state_dict().keys()


def test_changed_weights_are_refused(own_bundle: Path) -> None:
    path = own_bundle / "model.pth"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="damaged or replaced"):
        load(own_bundle)


class Harmful:
    """What a pickle could do to whoever loads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("harm done",)


def test_weights_that_hold_code_are_refused_and_not_run(own_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own_bundle, {**torch.load(own_bundle / "model.pth"), "head.0.weight": Harmful()})
    with pytest.raises(BundleError, match="not a state dict that can be loaded safely"):
        load(own_bundle)
    assert "harm done" not in capsys.readouterr().out


@pytest.mark.parametrize("state", [[torch.ones(1)], {"head.0.weight": "text"}, {}])
def test_weights_that_are_no_state_dict_of_this_network_are_refused(own_bundle: Path, state: object) -> None:
    put(own_bundle, state)
    with pytest.raises(BundleError, match=r"not a state dict|do not fit"):
        load(own_bundle)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.3.bias", "backbone._bn0.running_var"])
def test_weights_that_are_not_numbers_are_refused(own_bundle: Path, name: str, number: float) -> None:
    state = torch.load(own_bundle / "model.pth")
    state[name][0] = number
    put(own_bundle, state)
    with pytest.raises(BundleError, match=rf"{name.partition('.')[2]} contains numbers that are not finite"):
        load(own_bundle)


def test_weights_in_half_precision_are_as_good(own_bundle: Path) -> None:
    whole = load(own_bundle)
    state = torch.load(own_bundle / "model.pth")
    put(own_bundle, {name: value.half() if value.is_floating_point() else value for name, value in state.items()})
    inputs = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(load(own_bundle)(inputs), whole(inputs), atol=0.05)


def compressed(path: Path) -> None:
    """Packs a file of torch's anew, as torch itself does not, but would read it."""
    with zipfile.ZipFile(path) as parts:
        contents = {name: parts.read(name) for name in parts.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as parts:
        for name, content in contents.items():
            parts.writestr(name, content)


@pytest.mark.parametrize("hide", [bool, compressed])
def test_weights_of_another_size_are_refused_before_they_are_read(
    own_bundle: Path, monkeypatch: pytest.MonkeyPatch, hide: Callable[[Path], object]
) -> None:
    torch.save({"head.0.weight": torch.zeros(10_000_000)}, own_bundle / "model.pth")
    hide(own_bundle / "model.pth")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the weights were read"))
    with pytest.raises(BundleError, match=r"model\.pth has 38\.\d MiB, but that network has 13\.1 MiB of weights"):
        load(own_bundle)


def test_a_huge_network_that_is_named_is_not_built(own_bundle: Path) -> None:
    """It would take 2.4 GiB and a minute to fill with random numbers."""
    forge(own_bundle, lambda values: values["backbone"].update(name="regnet_y_128gf"))
    code = (
        "import re, sys\nfrom pathlib import Path\n"
        "from training_scripts.models.description import BundleError\nfrom training_scripts.models.model import load\n"
        "try: load(Path(sys.argv[1]))\nexcept BundleError as error: print(error)\n"
        # Not getrusage's ru_maxrss, which a child of a large process inherits from it.
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) >> 10)"
    )
    command = [sys.executable, "-c", code, str(own_bundle)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(own_bundle))
    reason, mebibytes = done.stdout.splitlines()
    assert "the weights do not fit the network of model.json" in reason
    assert int(mebibytes) < 1200  # 721 were measured; importing torch takes 691 of them, the network itself 2,460


def test_a_forged_width_is_refused_before_it_fills_the_memory(own_bundle: Path) -> None:
    forge(own_bundle, lambda values: values["head"].update(hidden=[65536, 65536, 65536]))
    with pytest.raises(BundleError, match="do not fit"):
        load(own_bundle)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values: values.clear(), "not a dogbreed-bundle"),
        (lambda values: values.update(format_version=2), "format version 2, this code reads 1"),
        (lambda values: values.pop("classes"), "'classes' is missing"),
        (lambda values: values.update(classes=[]), "classes must be"),
        (lambda values: values.update(classes=["a", "a", "b"]), "listed twice"),
        (lambda values: values.update(classes=["a", 2, "b"]), "classes must be"),
        (lambda values: values.update(model_id="../../x"), "model_id"),
        (lambda values: values.update(temperature=0), "temperature"),
        (lambda values: values.update(temperature="hot"), "temperature"),
        (lambda values: values.update(temperature=1e-320), "temperature must be from 0.001 to 1,000"),
        (lambda values: values.update(temperature=1e300), "temperature must be from 0.001 to 1,000"),
        (lambda values: values.update(backbone="resnet18"), "is invalid"),
        (lambda values: values.update(head=[]), "is invalid"),
        (lambda values: values["head"].update(hidden=[-1]), "hidden"),
        (lambda values: values["head"].update(hidden=[1] * 10**6), "at most 32 widths, not 1,000,000"),
        (lambda values: values["preprocessing"].update(crop=10**9), "preprocessing|crop"),
        (lambda values: values["preprocessing"].update(std=[0, 1, 1]), "preprocessing|std"),
        (lambda values: values["preprocessing"].update(std=[1e-320, 1, 1]), "preprocessing: std from"),
        (lambda values: values["preprocessing"].update(mean=[1e300, 1, 1]), "preprocessing: means up to"),
        (lambda values: values["preprocessing"].update(interpolation="magic"), "interpolation"),
        (lambda values: values.update(metrics=3), "is invalid"),
    ],
)
def test_a_description_that_is_not_in_order_is_refused(
    own_bundle: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    forge(own_bundle, change)
    with pytest.raises(BundleError, match=reason):
        read_description(own_bundle)


def test_an_unknown_backbone_is_refused(own_bundle: Path) -> None:
    forge(own_bundle, lambda values: values["backbone"].update(name="no_such_network"))
    with pytest.raises(BundleError, match="no_such_network"):
        load(own_bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": 1}'])
def test_a_description_that_is_no_json_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(BundleError):
        read_description(tmp_path)


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        read_description(tmp_path)
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    with pytest.raises(BundleError, match="it is not a tar archive"):
        read_description(tmp_path / "model.tar.gz")
    (tmp_path / "other.txt").touch()
    with pytest.raises(BundleError, match=r"has no model\.json"):
        read_description(archive(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar.gz"))


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"cannot write the model .*continues from its checkpoint"):
        write_bundle(tmp_path / "file" / "model")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("009.American_water_spaniel", "American water spaniel"),
        ("n02085620-Chihuahua", "Chihuahua"),
        ("Pug", "Pug"),
        ("007.", "007."),
    ],
)
def test_the_name_for_people_is_the_folders_without_its_prefix(folder: str, name: str) -> None:
    assert display_name(folder) == name


def test_reading_a_description_needs_no_torch(written_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from training_scripts.models.bundle import read_description;"
        "read_description(Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(written_bundle)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(written_bundle),
    )
    assert answer.stdout.strip() == "False"
