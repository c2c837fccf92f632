"""Ends endpoints whose time to live has passed, as EventBridge Scheduler does on AWS, with configuration and model."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone

from dogbreed_sdk.aws.requests.expiry import read_expiry
from dogbreed_sdk.aws.requests.tags import EXPIRES_AT, is_ours
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.endpoints import delete_endpoint
from dogbreed_sdk.local.api.models import delete_hosting
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.store import ENDPOINT, ENDPOINT_CONFIG, MODEL, Record, Store

logger = logging.getLogger(__name__)

# The Scheduler on AWS is accurate to a minute.
_LOOK_SECONDS = 2.0
_ORDER = (ENDPOINT, ENDPOINT_CONFIG, MODEL)


class ExpiryWatch:
    """Deletes expired endpoints in a thread while a server runs; those that expired while none ran go at once.

    Several servers may share a folder: the first that sees an expired endpoint deletes it.

    Args:
        store: The records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="local-sagemaker-expiry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking. An endpoint that is being ended meanwhile is completed by a later server."""
        self._stopped.set()
        self._thread.join(_LOOK_SECONDS)

    def _watch(self) -> None:
        failed = False
        while True:
            try:
                end_expired(self._store)
                failed = False
            except Exception:
                if not failed:  # one message, and not one at every look
                    logger.exception("cannot delete expired endpoints; will try again")
                failed = True
            if self._stopped.wait(_LOOK_SECONDS):
                return


def end_expired(store: Store) -> None:
    """Delete the endpoints, endpoint configurations and models of this project whose expiry has passed."""
    now = datetime.now(timezone.utc)
    for record in sorted(store.tagged(EXPIRES_AT), key=lambda record: _ORDER.index(record.kind)):
        tags = store.tags(record.arn)
        moment = read_expiry(tags.get(EXPIRES_AT))
        if moment is None or moment > now or not is_ours(tags):
            continue
        try:
            _delete(Context(store, record.region), record)
        except ApiError as error:
            # Another client was faster, or the endpoint is still being created: the next look tries again.
            logger.info("%s %s has expired: %s", record.kind, record.name, error)


def _delete(context: Context, record: Record) -> None:
    if record.kind == ENDPOINT:
        delete_endpoint(context, {"EndpointName": record.name})
    else:
        delete_hosting(context, record.kind, record.name)
