"""The version of this package; it stands here alone."""

__version__ = "0.1.0"
