"""A boto3 session whose SageMaker clients call local SageMaker, and which sends nothing to AWS."""

from __future__ import annotations

import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.api.validation import model_loader
from dogbreed_sdk.local.store import DEFAULT_REGION

_LOCAL_SERVICES = ("sagemaker", "logs", "cloudwatch")

# Local calls must neither need nor use the user's profile, configuration and credentials.
_NO_USER_SETTINGS: dict[str, tuple[None, None, str | None, None]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class LocalBotoSession(boto3.Session):
    """Creates clients for "sagemaker", "sagemaker-*", "logs" and "cloudwatch" that call a local endpoint.

    Pass it to `sagemaker.core` resources as `session=`, or to anything else that accepts a boto3 session.

    Args:
        endpoint_url: Where local SageMaker listens, `LocalSageMaker.endpoint_url`.
        region_name: The region that appears in ARNs.
    """

    def __init__(self, endpoint_url: str, *, region_name: str = DEFAULT_REGION) -> None:
        core = botocore.session.Session(session_vars=_NO_USER_SETTINGS)
        core.register_component("data_loader", model_loader())
        super().__init__(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - a signature is part of the protocol, its key isn't checked
            region_name=region_name,
            botocore_session=core,
        )
        self.endpoint_url = endpoint_url

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """A client as of `boto3.Session.client`, with the local endpoint.

        Raises:
            ConfigurationError: The service has no local counterpart.
        """
        if service_name.split("-", maxsplit=1)[0] not in _LOCAL_SERVICES:
            raise ConfigurationError(
                f"Local SageMaker has no {service_name!r} service, and this session sends nothing to AWS. "
                "Use file:// URIs instead of S3, or a session for AWS."
            )
        kwargs["endpoint_url"] = self.endpoint_url
        # Loopback traffic must not go through a proxy from the environment.
        direct = Config(proxies={})
        config: Config | None = kwargs.get("config")
        kwargs["config"] = config.merge(direct) if config else direct
        return super().client(service_name, *args, **kwargs)  # type: ignore[call-overload]
