"""The labels of models that have answered, by model id: requested once per model, never mixed with another model's."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from dogbreed_sdk.labels import LabelMap

# While an endpoint is updated two models answer in turn; only tests see more than a few in one program.
_MAX_MODELS = 16


class LabelCache:
    """LabelMaps by model id. Thread-safe; reading takes no lock.

    Attributes:
        model_id: The model that answered last; None until a response contains its id.
    """

    def __init__(self) -> None:
        self.model_id: str | None = None
        self._maps: dict[str, LabelMap] = {}
        self._lock = Lock()

    def __getstate__(self) -> tuple[str | None, dict[str, LabelMap]]:
        return self.model_id, dict(self._maps)

    def __setstate__(self, state: tuple[str | None, dict[str, LabelMap]]) -> None:
        self.model_id, self._maps = state
        self._lock = Lock()

    def __bool__(self) -> bool:
        return bool(self._maps)

    def get(self, model_id: str | None) -> LabelMap | None:
        """The labels of a model; None if they are not cached."""
        return self._maps.get(model_id) if model_id is not None else None

    def current(self) -> LabelMap | None:
        """The labels of the model that answered last; None if they are not cached."""
        return self.get(self.model_id)

    def store(self, model_id: str, class_folders: Sequence[str]) -> None:
        """Stores a model's class folders, in index order.

        Raises:
            LabelError: A class is empty or listed twice.
        """
        labels = LabelMap.from_list(class_folders)
        with self._lock:
            if len(self._maps) >= _MAX_MODELS and model_id not in self._maps:
                del self._maps[next(iter(self._maps))]
            self._maps[model_id] = labels
