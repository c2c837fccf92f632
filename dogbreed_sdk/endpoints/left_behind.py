"""Endpoints that this process deployed and has not deleted: on AWS, mentioned with their price when the program ends.

Those on local SageMaker are not mentioned: they cost no money, and a model server that nobody uses ends by itself.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")

# Region, profile and name; on local SageMaker "", its folder, and the name.
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Endpoint:
    """An endpoint, with what it pays for, so that the program's end needs no call.

    Attributes:
        process: The process that deployed it: one that it forks must not mention it, too.
        instances: Instance type and number of instances of each production variant; empty if it is serverless.
        reserved: Whether it is serverless and keeps capacity ready, which costs money all the time.
        expiry: Its expiry as text; empty without one.
        is_scheduled: Whether it will be deleted then, and needs no mention.
    """

    process: int
    instances: tuple[tuple[str, int], ...]
    reserved: bool
    expiry: str
    is_scheduled: bool = False

    def usd_per_hour(self, region: str) -> float | None:
        """The price by the packaged table; None if it is not known."""
        from dogbreed_sdk.aws.prices import total_hourly_price  # noqa: PLC0415 - most programs leave nothing behind

        return None if self.reserved else total_hourly_price(self.instances, region=region, use="hosting")

    def cost(self, region: str) -> str:
        """The price in words."""
        price = self.usd_per_hour(region)
        if price == 0.0:
            return "; it is serverless and costs nothing while it is idle"
        what = ", ".join(f"{count} x {kind}" for kind, count in self.instances) or "provisioned concurrency"
        return f" and costs {'money every hour' if price is None else f'{price:.3f} USD per hour'} ({what} in {region})"


_left: dict[_Key, _Endpoint] = {}


def note(session: Session, name: str, config: Mapping[str, Any], *, expiry: str = "") -> None:
    """Notes an endpoint that this process has just created.

    Args:
        session: The session that it belongs to.
        name: Name of the endpoint.
        config: The members of its CreateEndpointConfig request.
        expiry: When it expires, as text; empty for never.
    """
    variants = config["ProductionVariants"]
    instances = tuple(
        (variant["InstanceType"], variant["InitialInstanceCount"]) for variant in variants if "InstanceType" in variant
    )
    reserved = any("ProvisionedConcurrency" in variant.get("ServerlessConfig", {}) for variant in variants)
    atexit.unregister(_mention)
    atexit.register(_mention)
    _left[_key(session, name)] = _Endpoint(os.getpid(), instances, reserved, expiry)


def forget(session: Session, name: str) -> None:
    """Forgets an endpoint that has been deleted, or is meant to stay."""
    _left.pop(_key(session, name), None)


def note_schedule(session: Session, name: str) -> None:
    """Notes that an endpoint will be deleted when it expires."""
    key = _key(session, name)
    _left[key] = replace(_left[key], is_scheduled=True)


def names() -> set[str]:
    """The names of the endpoints that are left."""
    return {name for _, _, name in _left}


def usd_per_hour(session: Session, name: str) -> float | None:
    """The price of an endpoint that is left; None if it is not known, and 0 if it is on local SageMaker, or deleted."""
    endpoint = _left.get(_key(session, name))
    return 0.0 if endpoint is None or session.is_local else endpoint.usd_per_hour(session.region)


def expiry(session: Session, name: str) -> tuple[str | None, bool]:
    """When an endpoint that is left expires, as text, or None; and whether it will be deleted then by itself."""
    endpoint = _left.get(_key(session, name))
    return (None, False) if endpoint is None else (endpoint.expiry or None, endpoint.is_scheduled)


def _key(session: Session, name: str) -> _Key:
    if session.is_local:
        return "", str(session.root), name
    profile = session.boto3_session.profile_name or "default"
    return session.region, "" if profile == "default" else profile, name


def _mention() -> None:
    """Mentions what is left; calls nothing, so that the program ends at once."""
    for (region, profile, name), endpoint in _left.items():
        if not region or endpoint.is_scheduled or endpoint.process != os.getpid():
            continue
        place = f"--aws --region {region}" + (f" --profile {profile}" if profile else "")
        expiry = f" It expires at {endpoint.expiry}, but 'dogbreed cleanup --expired {place}' has to delete it."
        logger.warning(
            "Endpoint %s is left behind%s.%s To delete it: dogbreed delete %s %s",
            name,
            endpoint.cost(region),
            expiry if endpoint.expiry else "",
            name,
            place,
        )
