"""The modes of a run."""

from enum import Enum


class ModeKeys(Enum):
    """What a step is for; their numbers are in the recording."""

    TRAIN = 1
    EVAL = 2
    PREDICT = 3
    GLOBAL = 4


ALLOWED_MODES = list(ModeKeys)
ALLOWED_MODE_NAMES = [mode.name for mode in ALLOWED_MODES]
