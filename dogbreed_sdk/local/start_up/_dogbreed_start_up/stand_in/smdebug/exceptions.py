"""smdebug's errors, as far as the stand-in raises them."""


class SMDebugError(Exception):
    """smdebug cannot do what was asked."""


class SMDebugValueError(SMDebugError, ValueError):
    """An argument has an invalid value."""


class SMDebugTypeError(SMDebugError, TypeError):
    """An argument has the wrong type."""


class InvalidCollectionConfiguration(SMDebugError):  # noqa: N818 - smdebug's name
    """A collection of the user's has neither patterns nor tensors."""
