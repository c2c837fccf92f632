"""Collections, where smdebug has PyTorch's."""

from ..core.collection import Collection, CollectionKeys, CollectionManager

__all__ = ["Collection", "CollectionKeys", "CollectionManager"]
