"""timm's models, by names such as `timm:convnext_tiny.in12k`: a registered architecture and a tag of weights.

Names may come from the model.json of somebody else's bundle. So only timm's own registry is searched: never the
`hf-hub:` and `local-dir:` sources of `timm.create_model`, which read configurations and weights from anywhere.
"""

# ruff: noqa: PLC0415 - timm imports torch and torchvision, which takes seconds

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models.spec import BackboneError
from training_scripts.models.torchvision import without_content

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"
# What AWS's PyTorch inference container lacks to serve such a backbone (it has torch and Pillow).
REQUIREMENTS = "timm>=1.0\n"

_INTERPOLATIONS = ("bilinear", "bicubic")


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise BackboneError(
            f"a backbone of timm needs timm, which cannot be imported ({error}): pip install 'dogbreed-sdk[timm]'."
        ) from error
    module: ModuleType = timm
    return module


def canonical_name(name: str) -> str:
    """The name of a model as timm spells it, with the prefix.

    Args:
        name: Such as timm:convnext_tiny.in12k; case, dashes and underscores make no difference.

    Raises:
        BackboneError: timm is missing, or does not register the model; the message lists similar names.
    """
    wanted = name[len(PREFIX) :]
    timm = _timm()
    known = [*timm.list_models(), *timm.list_pretrained()]
    found = known_as(wanted, known)
    if found is None:
        sources = " Names with a source such as hf-hub: are not accepted." if ":" in wanted or "/" in wanted else ""
        hint = did_you_mean(wanted, known, most=3) or "."
        raise BackboneError(
            f"timm {timm.__version__} has no model {wanted[:80]!r}{hint}{sources} timm.list_models(pretrained=True) "
            "lists the names."
        )
    return f"{PREFIX}{found}"


def describe(name: str) -> tuple[int, Preprocessing]:
    """Feature width of a model, and the preprocessing of timm's own data configuration for it.

    Args:
        name: From `canonical_name`.

    Raises:
        BackboneError: Its pictures cannot be prepared here: they are not square crops of RGB pictures.
    """
    with without_content():
        network: Any = build(name)
    # The last layers of some networks change the width.
    width = getattr(network, "head_hidden_size", None) or network.num_features
    return int(width), _preprocessing(name, _timm().data.resolve_model_data_config(network))


def build(name: str) -> nn.Module:
    """Builds a model without its classifier, with random weights.

    Raises:
        BackboneError: timm is missing, or cannot build the model without its classifier.
    """
    try:
        network: nn.Module = _timm().create_model(name[len(PREFIX) :], pretrained=False, num_classes=0)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise BackboneError(f"timm cannot build {name} without its classifier: {error}.") from error
    return network


def classifiers(name: str) -> tuple[str, ...]:
    """Names of the layers that state dicts of the whole network have and `build` leaves out."""
    config = _timm().get_pretrained_cfg(name[len(PREFIX) :])
    found = config.classifier if config is not None else None
    return (found,) if isinstance(found, str) else tuple(found or ())


def published(name: str) -> tuple[str, Path | None]:
    """The page or file that a model's weights are downloaded from, and the file of a cache that holds them already.

    Raises:
        BackboneError: timm has no weights of this name.
    """
    config, source = _source(name)
    if not config.hf_hub_id:
        from torch import hub

        return source, Path(hub.get_dir(), "checkpoints", source.rpartition("/")[2])
    from huggingface_hub import constants, try_to_load_from_cache

    repository, _, revision = config.hf_hub_id.partition("@")
    files = (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin")
    cached = (try_to_load_from_cache(repository, file, revision=revision or None) for file in files if file)
    found = next((Path(path) for path in cached if isinstance(path, str)), None)
    return f"{constants.ENDPOINT}/{repository}", found


def license_and_id(name: str) -> tuple[str, str]:
    """The license of a model's weights, and their id on the Hugging Face hub, as timm's own configuration names them.

    Args:
        name: From `canonical_name`.

    Returns:
        Both empty where the configuration does not say.

    Raises:
        BackboneError: timm is missing.
    """
    config = _timm().get_pretrained_cfg(name[len(PREFIX) :])
    return (getattr(config, "license", None) or "", getattr(config, "hf_hub_id", None) or "")


def download(name: str) -> Mapping[str, Any]:
    """Downloads a model's weights with timm's own loader, or reads them from the Hugging Face cache.

    Returns:
        The state dict of the model without its classifier.

    Raises:
        BackboneError: timm has no weights of this name, or the download failed; the message says what to do.
    """
    _, source = _source(name)
    try:
        network: nn.Module = _timm().create_model(name[len(PREFIX) :], pretrained=True, num_classes=0)
    except Exception as error:  # the Hugging Face client raises errors of whichever HTTP library it uses
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise BackboneError(
            f"the pretrained weights of {name} cannot be downloaded ({reason}). Either fetch them from {source} "
            "elsewhere and pass the file with --weights PATH (model.safetensors or a state dict), or use --model "
            "efficientnet_lite0, whose weights come with its package."
        ) from error
    return network.state_dict()


def _source(name: str) -> tuple[Any, str]:
    """Timm's configuration of a model's weights, and where they are published."""
    config = _timm().get_pretrained_cfg(name[len(PREFIX) :])
    if config is not None and config.hf_hub_id:
        return config, f"https://huggingface.co/{config.hf_hub_id}"
    if config is not None and config.url:
        return config, config.url
    raise BackboneError(
        f"timm has no pretrained weights for {name}: add a tag of timm.list_pretrained(), or pass a file."
    )


def _preprocessing(name: str, config: Mapping[str, Any]) -> Preprocessing:
    channels, height, width = config["input_size"]
    interpolation, crop, share = config["interpolation"], config["crop_mode"], config["crop_pct"]
    problem = ""
    if channels != 3 or height != width:
        problem = f"inputs of {channels} x {height} x {width}"
    elif interpolation not in _INTERPOLATIONS:
        problem = f"the interpolation {interpolation}"
    elif crop != "center" or share > 1:
        problem = f"crop mode {crop} of {share:.0%}"
    if problem:
        raise BackboneError(
            f"{name} expects {problem}, which is not supported: its pictures must be square RGB crops from the center, "
            "resized by bilinear or bicubic interpolation."
        )
    return Preprocessing(
        resize=math.floor(height / share),
        crop=height,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation,
    )
