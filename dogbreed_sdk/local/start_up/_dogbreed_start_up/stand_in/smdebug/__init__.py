"""Local SageMaker's stand-in for smdebug 1.0.34: the parts that training scripts with PyTorch use."""

from .core.collection import CollectionKeys
from .core.modes import ModeKeys as modes
from .core.reduction_config import ReductionConfig
from .core.save_config import SaveConfig, SaveConfigMode

__version__ = "1.0.34+dogbreed"

__all__ = ["CollectionKeys", "ReductionConfig", "SaveConfig", "SaveConfigMode", "modes"]
