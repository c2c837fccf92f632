"""The labels that endpoints told, by model: a model's labels are asked for once, and never mixed with another's."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from dogbreed_sdk.labels import LabelMap

# While an endpoint is updated two models answer in turn; more than a few in one program are a test's doing.
_MOST_MODELS = 16


class KnownLabels:
    """LabelMaps by model_id. Thread-safe; reading takes no lock.

    Attributes:
        model_id: The model that answered last, or None before the first answer that names one.
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
        """The labels of a model, if they are known."""
        return self._maps.get(model_id) if model_id is not None else None

    def current(self) -> LabelMap | None:
        """The labels of the model that answered last, if they are known."""
        return self.get(self.model_id)

    def learn(self, model_id: str, class_folders: Sequence[str]) -> None:
        """Notes a model's classes, in index order.

        Raises:
            LabelError: They are no classes: one is empty or listed twice.
        """
        labels = LabelMap.from_list(class_folders)
        with self._lock:
            if len(self._maps) >= _MOST_MODELS and model_id not in self._maps:
                del self._maps[next(iter(self._maps))]
            self._maps[model_id] = labels
