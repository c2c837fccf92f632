"""The hyperparameters of a trainer's jobs: those that the trainer sets, those of a call, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dogbreed_sdk.errors import ConfigurationError
from training_scripts import ScriptError
from training_scripts.models import backbones
from training_scripts.training import hyperparameters

# The features depend on them, so all jobs of a trainer share them, and a search cannot vary them.
OF_FEATURES = ("model", "weights", "views", "resize-mode", "tta", "precision")


class TrainerHyperparameters:
    """The hyperparameters that all jobs of one trainer share.

    Args:
        model: The backbone, in any spelling.
        hidden: Widths of the head's hidden layers.
        weights: ``"pretrained"``, ``"none"``, or the name of a file in the weights channel.
        views: The views of a training picture, joined by commas.
        resize_mode: How pictures become square: ``"crop"`` or ``"squash"``.
        tta: The test-time augmentation: ``"none"`` or ``"flip"``.
        precision: ``"fp32"`` or ``"bf16"``.
        features: ``"off"`` runs the backbone in every epoch; all other values leave it to the script.
        features_dtype: ``"float32"`` or ``"float16"``.

    Raises:
        ConfigurationError: A value is invalid.
    """

    def __init__(
        self,
        *,
        model: str,
        hidden: str | int | Sequence[int],
        weights: str,
        views: str,
        resize_mode: str,
        tta: str,
        precision: str,
        features: str,
        features_dtype: str = "float32",
    ) -> None:
        self._base: dict[str, object] = {
            "model": _known_model(model),
            "hidden": _widths(hidden),
            "views": views,
            "resize-mode": resize_mode,
            "tta": tta,
            "precision": precision,
            "weights": weights,
        }
        if features == "off":
            self._base["features"] = "off"
        if features_dtype != "float32":
            self._base["features-dtype"] = features_dtype
        self.settled({}, "train_model")

    @property
    def model(self) -> str:
        """The canonical name of the backbone."""
        return str(self._base["model"])

    def settled(
        self, given: Mapping[str, object], entry_point: str, *, searched: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """All hyperparameters of a job except the searched ones, checked before anything is sent.

        Args:
            given: Hyperparameters of a call, in any spelling of their names.
            entry_point: ``train_model`` or ``hpo``.
            searched: The hyperparameters that a search chooses, by canonical name.

        Raises:
            ConfigurationError: A hyperparameter is unknown, out of bounds, given twice, or contradicts the trainer.
        """
        named: dict[str, object] = {}
        for key, value in given.items():
            name = hyperparameters.meant(key, entry_point) or key
            if named.setdefault(name, value) != value:
                raise ConfigurationError(f"{name} is given twice, spelled differently and with different values.")
        if "model" in named:
            named["model"] = _known_model(str(named["model"]))
        both = sorted(set(searched or {}) & set(named))
        if both:
            raise ConfigurationError(f"{', '.join(both)}: either search it or give a value, not both.")
        for key in OF_FEATURES:
            if named.get(key, self._base[key]) != self._base[key]:
                raise ConfigurationError(
                    f"The trainer has {key}={self._base[key]!r} and the hyperparameters {named[key]!r}; pass "
                    f"{key.replace('-', '_')} to BreedTrainer instead."
                )
        try:
            checked = hyperparameters.validate({**self._base, **named}, entry_point=entry_point)
        except ScriptError as error:
            raise ConfigurationError(str(error)) from error
        read = set(hyperparameters.names(entry_point)) - set(searched or {})
        return {key: value for key, value in checked.to_dict().items() if key in read}

    def inherited(self, earlier: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """The hyperparameters of a job to resume, without those that this trainer or the caller sets."""
        decided = {hyperparameters.meant(name, "train_model") for name in given}
        decided |= {name for name, value in self._base.items() if name != "hidden" or value}
        return {name: value for name, value in earlier.items() if name not in decided}


def _widths(hidden: str | int | Sequence[int]) -> str:
    if isinstance(hidden, (str, int)):
        return str(hidden)
    return ",".join(str(width) for width in hidden)


def _known_model(name: str) -> str:
    """The canonical name of a backbone; unchecked if it may be torchvision's and torchvision is not installed."""
    try:
        return backbones.spec(name).name
    except ScriptError as error:
        if isinstance(error.__cause__, ImportError):
            return name
        raise ConfigurationError(str(error)) from error
