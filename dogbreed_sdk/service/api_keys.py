"""API keys: read from a file or a variable, stored as digests, compared in constant time."""

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
# 16 random base64 characters are 96 bits, too many to guess at any rate.
SHORTEST_KEY = 16
# Characters that HTTP headers can carry, and that do not separate keys in the variable.
_FORM = re.compile(r"[\x21-\x7e]+")
# Hashing megabytes that a client sends as a key would waste time.
_LONGEST_KEY = 4096
_LONGEST_FILE = 1_000_000


class ApiKeys:
    """The API keys of a service. Only digests stay in memory, with a salt that is new in each process.

    Args:
        keys: One or more keys of 16 to 4096 ASCII characters without spaces.

    Raises:
        ConfigurationError: There is no key, or one is not valid; no message contains a key.

    Examples:
        >>> from dogbreed_sdk.service import ApiKeys
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
                    f"API key {number} has {len(key)} characters; the minimum is {SHORTEST_KEY}. "
                    "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
            if len(key) > _LONGEST_KEY:
                raise ConfigurationError(f"API key {number} has {len(key)} characters; the maximum is {_LONGEST_KEY}.")
            if not _FORM.fullmatch(key):
                raise ConfigurationError(f"API key {number} contains a space or a non-ASCII character; use neither.")
            digests.append(self._digest(key))
        if not digests:
            raise ConfigurationError("There are no API keys; pass at least one, or leave the option out.")
        self._digests = tuple(dict.fromkeys(digests))

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"

    @classmethod
    def from_text(cls, text: str) -> ApiKeys:
        """Keys in a text such as that of the variable, separated by commas, spaces or line ends.

        Raises:
            ConfigurationError: As for the class itself.
        """
        return cls(word for word in re.split(r"[\s,]+", text) if word)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ApiKeys:
        """Keys in a file, one per line; empty lines and lines that begin with # are ignored.

        Raises:
            ConfigurationError: The file cannot be read, other users may read or write it, or a key is not valid.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                found = os.fstat(file.fileno())  # of the opened file: the path may be replaced meanwhile
                if found.st_mode & _forbidden(found.st_uid):
                    raise ConfigurationError(
                        f"{path} can be read by other users of this machine (mode {stat.S_IMODE(found.st_mode):04o}); "
                        f"run chmod 600 {path}"
                    )
                text = file.read(_LONGEST_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise ConfigurationError(f"The API keys in {path} cannot be read: {reason}.") from error
        if len(text) > _LONGEST_FILE:
            raise ConfigurationError(f"{path} has more than {_LONGEST_FILE:,} characters; pass a file of API keys.")
        lines = (line.strip() for line in text.splitlines())
        return cls(line for line in lines if line and not line.startswith("#"))

    def match(self, offered: str) -> str | None:
        """Identifies the owner of a key.

        All keys are compared, in a time that does not depend on them.

        Returns:
            A text that stands for the key as long as this object lives; None if the key is not valid.
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
    """Permissions that a file with secrets must not have; PostgreSQL has the same rule for its private keys.

    Secrets that root provides to a service (systemd's credentials, mounted volumes) are readable by its group.
    """
    others = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
    return others if owner == 0 and os.geteuid() != 0 else others | stat.S_IRGRP
