"""API keys: read from a file or a variable, kept as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError

VARIABLE = "DOGBREED_API_KEYS"
# 16 random characters of base64 are 96 bits: no rate of guesses gets there.
SHORTEST_KEY = 16
# What HTTP headers carry, and what is one word in the variable.
_FORM = re.compile(r"[\x21-\x7e]+")
# Hashing megabytes that somebody offers would be work for nothing.
_LONGEST_KEY = 4096
_LONGEST_FILE = 1_000_000


class ApiKeys:
    """The keys that open a service. Only digests stay in memory, made with a salt of this process.

    Args:
        keys: One or more keys of 16 to 4096 characters of ASCII, without spaces.

    Raises:
        ConfigurationError: No key, or one of another form; no message holds a key.

    >>> keys = ApiKeys(["a-key-of-24-characters-X"])
    >>> keys.match("a-key-of-24-characters-X") is not None, keys.match("another-key")
    (True, None)
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._salt = secrets.token_bytes(32)
        digests: list[bytes] = []
        for number, key in enumerate(keys, start=1):
            if len(key) < SHORTEST_KEY:
                raise ConfigurationError(
                    f"API key {number} has {len(key)} characters; {SHORTEST_KEY} are the least. "
                    "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
            if len(key) > _LONGEST_KEY:
                raise ConfigurationError(f"API key {number} has {len(key)} characters; {_LONGEST_KEY} are the most.")
            if not _FORM.fullmatch(key):
                raise ConfigurationError(f"API key {number} has spaces or characters beyond ASCII; use neither.")
            digests.append(self._digest(key))
        if not digests:
            raise ConfigurationError("There is no API key: give at least one, or leave the option away.")
        self._digests = tuple(dict.fromkeys(digests))

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"

    @classmethod
    def from_text(cls, text: str) -> ApiKeys:
        """Keys in a text, as a variable holds them: between commas, spaces or line ends.

        Raises:
            ConfigurationError: As for the class itself.
        """
        return cls(word for word in re.split(r"[\s,]+", text) if word)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ApiKeys:
        """Keys in a file, one a line; empty lines and lines that begin with # do not count.

        Raises:
            ConfigurationError: The file cannot be read, others may read or write it, or its keys are no keys.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                found = os.fstat(file.fileno())  # of what was opened, not of what lies there later
                if found.st_mode & _forbidden(found.st_uid):
                    raise ConfigurationError(
                        f"{path} can be read by others of this machine (mode {stat.S_IMODE(found.st_mode):04o}): "
                        f"run chmod 600 {path}"
                    )
                text = file.read(_LONGEST_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigurationError(f"The API keys in {path} cannot be read: {reason}") from error
        if len(text) > _LONGEST_FILE:
            raise ConfigurationError(f"{path} is larger than a file of keys is: {_LONGEST_FILE:,} characters.")
        lines = (line.strip() for line in text.splitlines())
        return cls(line for line in lines if line and not line.startswith("#"))

    def match(self, offered: str) -> str | None:
        """What stands for a key that is right, the same for the life of this object; None for one that is wrong.

        Every key is compared, in a time that depends on none of them.
        """
        if len(offered) > _LONGEST_KEY:
            return None
        digest = self._digest(offered)
        found = None
        for known in self._digests:
            if hmac.compare_digest(known, digest):
                found = known
        return None if found is None else found.hex()

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._salt, key.encode(), hashlib.sha256)


def _forbidden(owner: int) -> int:
    """Permissions that a file of secrets must not have; PostgreSQL's rule for its private keys.

    Secrets that root hands to a service (systemd's credentials, mounted volumes) are readable through its group.
    """
    others = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
    return others if owner == 0 and os.geteuid() != 0 else others | stat.S_IRGRP
