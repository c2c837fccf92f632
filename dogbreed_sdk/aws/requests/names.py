"""Names that SageMaker accepts and that sort by time."""

from __future__ import annotations

import re
import secrets
import time

from dogbreed_sdk.errors import ConfigurationError

# API reference: training jobs, models and endpoints take 63 characters, tuning jobs 32.
MAX_NAME_LENGTH = 63
MAX_TUNING_NAME_LENGTH = 32

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def unique_name(base: str, *, max_length: int = MAX_NAME_LENGTH) -> str:
    """A unique name: the base, the time in UTC to the second and four random hexadecimal digits.

    Args:
        base: Prefix of the name; characters other than letters, digits and hyphens become hyphens.
        max_length: In characters; the base is shortened to fit.
    """
    suffix = time.strftime("%y%m%d-%H%M%S", time.gmtime()) + "-" + secrets.token_hex(2)
    cleaned = re.sub(r"[^a-zA-Z0-9]+", "-", base).strip("-") or "job"
    return cleaned[: max_length - len(suffix) - 1].rstrip("-") + "-" + suffix


def check_name(name: str, *, what: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """The name itself, if SageMaker accepts it.

    Raises:
        ConfigurationError: It is too long or contains characters that SageMaker refuses.
    """
    if len(name) > max_length or not NAME.fullmatch(name):
        article = "an" if what[0] in "aeiou" else "a"
        raise ConfigurationError(
            f"{name!r} cannot name {article} {what}: use up to {max_length} letters, digits and single hyphens, "
            "beginning and ending with a letter or digit."
        )
    return name
