"""A file with the user's own backbone weights, which jobs receive as an input channel."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.aws.transfers import TransferCallback
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session
from training_scripts._util import hashing


class WeightsFile:
    """A state-dict file on this machine.

    Args:
        path: The file.

    Raises:
        ConfigurationError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest  # noqa: B018 - a file that cannot be read fails here

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content, in hexadecimal."""
        try:
            return hashing.sha256_of(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"The weights file {self.path} cannot be read: {error.strerror}. "
                "Pass 'pretrained' or the path of a state-dict file."
            ) from error

    def upload(self, session: Session, *, transfer: TransferCallback | None = None) -> str:
        """Uploads the file unless it is already stored, and returns the URI of its folder.

        Args:
            session: Where it is stored.
            transfer: Called with the progress.
        """
        folder = join(session.base_uri, "weights", self.digest[:16])
        uri = join(folder, self.path.name)
        if not session.storage.exists(uri):
            session.storage.upload_file(self.path, uri, transfer=transfer)
        return folder
