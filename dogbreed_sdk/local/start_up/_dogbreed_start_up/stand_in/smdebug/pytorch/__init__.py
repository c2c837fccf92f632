"""The hook for PyTorch."""

from .. import ReductionConfig, SaveConfig, SaveConfigMode, modes
from ..core.collection import Collection, CollectionKeys
from .hook import Hook
from .singleton_utils import del_hook, get_hook, set_hook

__all__ = [
    "Collection",
    "CollectionKeys",
    "Hook",
    "ReductionConfig",
    "SaveConfig",
    "SaveConfigMode",
    "del_hook",
    "get_hook",
    "modes",
    "set_hook",
]
