"""Collections: tensors that are recorded together, found by patterns of their names."""

from __future__ import annotations

import re
from typing import Any

from ..exceptions import SMDebugError, SMDebugTypeError
from .reduction_config import ReductionConfig
from .save_config import SaveConfig


class CollectionKeys:
    """Names of collections."""

    DEFAULT = "default"
    ALL = "all"
    INPUTS = "inputs"
    OUTPUTS = "outputs"
    WEIGHTS = "weights"
    GRADIENTS = "gradients"
    LOSSES = "losses"
    BIASES = "biases"
    LAYERS = "layers"
    SM_METRICS = "sm_metrics"
    OPTIMIZER_VARIABLES = "optimizer_variables"
    METRICS = "metrics"


# The collections that exist without being configured, and the patterns of their tensors.
DEFAULT_COLLECTIONS: dict[str, list[str]] = {
    CollectionKeys.ALL: [],
    CollectionKeys.DEFAULT: [],
    CollectionKeys.WEIGHTS: ["^(?!gradient).*weight"],
    CollectionKeys.BIASES: ["^(?!gradient).*bias"],
    CollectionKeys.GRADIENTS: ["^gradient"],
    CollectionKeys.LOSSES: ["[Ll]oss_(?!input).*output"],
}
# Recorded in full, whatever reductions are configured.
NON_REDUCTION_COLLECTIONS = (CollectionKeys.LOSSES, CollectionKeys.METRICS, CollectionKeys.SM_METRICS)


class Collection:
    """Tensors that are recorded together; without its own configuration it has the hook's."""

    def __init__(
        self,
        name: str,
        include_regex: list[str] | None = None,
        tensor_names: Any = None,
        reduction_config: ReductionConfig | None = None,
        save_config: Any = None,
        save_histogram: bool = True,
    ) -> None:
        self.name = name
        self.include_regex = include_regex or []
        self.tensor_names = set(tensor_names or ())
        self.reduction_config = reduction_config
        self.save_config = save_config
        self.save_histogram = save_histogram
        self.modules: dict[Any, tuple[bool, bool]] = {}

    @property
    def save_config(self) -> SaveConfig | None:
        """When the tensors are saved."""
        return self._save_config

    @save_config.setter
    def save_config(self, given: Any) -> None:
        self._save_config = None if given is None else SaveConfig.parse(given)

    def include(self, pattern: str | list[str]) -> None:
        """Add a pattern, or several, that is searched in names."""
        if isinstance(pattern, list):
            for each in pattern:
                self.include(each)
        elif isinstance(pattern, str):
            self.include_regex.append(pattern)
        else:
            raise SMDebugTypeError("include takes a text or a list of texts")

    def add_module_tensors(self, module: Any, inputs: bool = False, outputs: bool = True) -> None:
        """Add the inputs or outputs of a registered module."""
        self.modules[module] = (inputs, outputs)

    def add_tensor_name(self, name: str) -> None:
        """Add a tensor."""
        self.tensor_names.add(name)

    def has(self, tensor: str) -> bool:
        """Whether a tensor belongs to the collection; notes it if it does."""
        if tensor in self.tensor_names:
            return True
        if any(re.search(pattern, tensor) for pattern in self.include_regex):
            self.tensor_names.add(tensor)
            return True
        return False

    def to_json_dict(self) -> dict[str, Any]:
        """The form in the recording."""
        return {
            "name": self.name,
            "include_regex": self.include_regex,
            "tensor_names": sorted(self.tensor_names),
            "reduction_config": self.reduction_config and self.reduction_config.to_json_dict(),
            "save_config": self.save_config and self.save_config.to_json_dict(),
            "save_histogram": self.save_histogram,
        }


class CollectionManager:
    """The collections of a hook, by name."""

    def __init__(self) -> None:
        self.collections = {name: Collection(name, list(found)) for name, found in DEFAULT_COLLECTIONS.items()}

    def get(self, name: str, create: bool = True) -> Collection:
        """A collection; a missing one is created."""
        if name not in self.collections:
            if not create:
                raise SMDebugError(f"Collection {name} has not been created")
            self.collections[name] = Collection(name)
        return self.collections[name]

    def add(self, collection: str | Collection) -> None:
        """Add a collection, or create one of this name."""
        if isinstance(collection, str):
            self.get(collection)
        else:
            self.collections[collection.name] = collection

    def get_collections(self) -> dict[str, Collection]:
        """All collections by name."""
        return self.collections
