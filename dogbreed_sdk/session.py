"""Where calls go: SageMaker on AWS, or local SageMaker under a folder of this machine."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dogbreed_sdk import container
from dogbreed_sdk._util import optional
from dogbreed_sdk.aws.clients import Clients
from dogbreed_sdk.aws.storage import Storage, join
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    import boto3

    from dogbreed_sdk.local import LocalSageMaker

ROOT_VARIABLE = "DOGBREED_ROOT"
ROLE_VARIABLE = "DOGBREED_ROLE"
BUCKET_VARIABLE = "DOGBREED_BUCKET"

_LOCAL_ROLE_ARN = "arn:aws:iam::000000000000:role/local-sagemaker"
_LOCAL_IMAGE_URI = "local/this-python-environment"
# API reference, OutputDataConfig and ResourceConfig: the id or alias of a key, or an ARN.
_KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")


class Session:
    """Where calls go, under which role, and where files are stored. Create one with `local` or `aws`.

    Nothing is imported, started or looked up before it is needed, so a session costs nothing to create. One session
    serves any number of threads. It can be pickled, for process pools and task queues: the other process opens its
    own connections with its own credentials.

    Attributes:
        is_local: Whether this is local SageMaker.
        root: The folder of local SageMaker, or None.
        client: Gives the boto3 client of a service, created once and shared: ``session.client("sagemaker")``.
        storage: Files behind s3:// and file:// URIs.
        kms_key: The key that encrypts what this session stores and its jobs' disks, or None.
        vpc: The network that jobs and models run in, or None for SageMaker's own.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        role: str | None = None,
        bucket: str | None = None,
        prefix: str = "dogbreed",
        profile: str | None = None,
        boto3_session: boto3.Session | None = None,
        kms_key: str | None = None,
        vpc: Vpc | None = None,
    ) -> None:
        self.kms_key = _checked_kms_key(kms_key)
        self.vpc = _checked_vpc(vpc)
        self.root = root
        self.is_local = root is not None
        self.client = Clients(lambda: self.boto3_session)
        self.storage = Storage(lambda: self.client("s3"))
        self._endpoint_url = endpoint_url
        self._region = region
        self._role = role
        self._bucket = bucket
        self._prefix = prefix
        self._profile = profile
        self._boto3 = boto3_session
        self._boto3_is_given = boto3_session is not None
        self._server: LocalSageMaker | None = None
        self._makes_root = True
        self._lock = RLock()

    @classmethod
    def local(cls, root: str | Path | None = None, *, endpoint_url: str | None = None) -> Session:
        """Local SageMaker under a folder: no account, no network, no Docker.

        Jobs and endpoints outlive the session: open the same folder again, from any process, to find them.

        Args:
            root: The folder; it is created if missing. Default: ``$DOGBREED_ROOT``, else ``~/.dogbreed``.
            endpoint_url: A server that already runs on that folder (``dogbreed local up``). Default: a server
                inside this process, started by the first call.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder, Session.local(folder) as session:
            ...     session.is_local
            True
        """
        chosen = default_root() if root is None else Path(root).expanduser().absolute()
        return cls(root=chosen, endpoint_url=endpoint_url)

    @classmethod
    def existing(cls, root: str | Path) -> Session:
        """Local SageMaker under a folder that already holds one, for programs that only read.

        Args:
            root: The folder; it is never created. If it does not hold local SageMaker, creating the first client
                raises `ConfigurationError`.
        """
        made = cls.local(root)
        made._makes_root = False
        return made

    @classmethod
    def aws(
        cls,
        *,
        region: str | None = None,
        role: str | None = None,
        bucket: str | None = None,
        prefix: str = "dogbreed",
        profile: str | None = None,
        boto3_session: boto3.Session | None = None,
        kms_key: str | None = None,
        vpc: Vpc | None = None,
    ) -> Session:
        """SageMaker on AWS.

        Args:
            region: For example ``us-east-1``. Default: that of the AWS configuration.
            role: Name or ARN of the role that jobs and models assume. Default: ``$DOGBREED_ROLE``, else the role
                this code runs under. Invoking an endpoint needs no role.
            bucket: S3 bucket for data, source and models. Default: ``$DOGBREED_BUCKET``, else SageMaker's usual
                ``sagemaker-<region>-<account>``, created if missing.
            prefix: Key prefix under which everything is stored in the bucket.
            profile: Profile of the AWS configuration files.
            boto3_session: Your own boto3 session, instead of profile and region.
            kms_key: Id, alias or ARN of a KMS key, for uploads, results, and the disks of jobs and endpoints. The role
                and you must be allowed to use it. Default: keys that AWS manages.
            vpc: `Vpc` for jobs and models. Default: SageMaker's own network.

        Raises:
            ConfigurationError: kms_key is not the name of a key, or vpc not a `Vpc`.
        """
        return cls(
            region=region,
            role=role or os.environ.get(ROLE_VARIABLE),
            bucket=bucket or os.environ.get(BUCKET_VARIABLE),
            prefix=prefix,
            profile=profile,
            boto3_session=boto3_session,
            kms_key=kms_key,
            vpc=vpc,
        )

    @classmethod
    def default(cls) -> Session:
        """Local SageMaker if ``$DOGBREED_ROOT`` names its folder, SageMaker on AWS otherwise."""
        return cls.local() if os.environ.get(ROOT_VARIABLE) else cls.aws()

    @property
    def boto3_session(self) -> boto3.Session:
        """The boto3 session whose clients reach this SageMaker; `sagemaker.core` takes it as ``session``."""
        with self._lock:
            if self._boto3 is None:
                self._boto3 = self._local_boto3() if self.is_local else self._aws_boto3()
            return self._boto3

    @property
    def region(self) -> str:
        """The region that calls go to.

        Raises:
            ConfigurationError: No region is configured.
        """
        name = self._region or self.boto3_session.region_name
        if not name:
            raise ConfigurationError(
                "No AWS region is configured. Pass Session.aws(region=…) or set AWS_DEFAULT_REGION."
            )
        return str(name)

    @property
    def role_arn(self) -> str:
        """The role that jobs and models assume.

        Raises:
            ConfigurationError: No role was given, and this code does not itself run under one.
        """
        if self.is_local:
            return _LOCAL_ROLE_ARN
        with self._lock:
            if self._role is None or not self._role.startswith("arn:"):
                from dogbreed_sdk.aws import account  # noqa: PLC0415

                self._role = account.role_arn(self.client, self._role)
            return self._role

    @property
    def base_uri(self) -> str:
        """The folder (an s3:// or file:// URI) that holds data, source code, features and models."""
        if self.root is not None:
            return container.path_to_uri(self._made_root() / "bucket")
        with self._lock:
            if self._bucket is None:
                from dogbreed_sdk.aws import account  # noqa: PLC0415

                self._bucket = account.default_bucket(self.client, self.region)
            return join(f"s3://{self._bucket}", self._prefix)

    @property
    def bucket_name(self) -> str:
        """Name of the S3 bucket, which may not exist yet: `base_uri` creates it.

        Raises:
            ConfigurationError: This is local SageMaker, which has no bucket.
            AccessError: The credentials do not work.
        """
        if self.is_local:
            raise ConfigurationError(f"{self!r} has no bucket; its files are below {self.root}.")
        if self._bucket is not None:
            return self._bucket
        from dogbreed_sdk.aws import account  # noqa: PLC0415

        return account.default_bucket_name(self.client, self.region)

    def image_uri(self, scope: str, instance_type: str) -> str:
        """The container image for ``training`` or ``inference``; local SageMaker uses this Python environment."""
        if self.is_local:
            return _LOCAL_IMAGE_URI
        with optional.needed(extra="aws", purpose="work on AWS"):
            from dogbreed_sdk.aws.requests import images  # noqa: PLC0415
        return images.pytorch_image_uri(scope, region=self.region, instance_type=instance_type)

    def close(self) -> None:
        """Stops the server that this session started, if any. Jobs and endpoints keep running."""
        with self._lock:
            server, self._server = self._server, None
            if server is not None:
                self._boto3 = None
        if server is not None:
            server.stop()
            self.client.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the names that lead to SageMaker, never credentials; those are looked up again."""
        if self._boto3_is_given:
            raise ConfigurationError(
                "A session created with boto3_session=… cannot be pickled, because its credentials would be pickled "
                "too. Create it with Session.aws(profile=…, region=…), or create it in the process that uses it."
            )
        settings = {
            "root": self.root,
            "endpoint_url": self._endpoint_url,
            "region": self._region,
            "role": self._role,
            "bucket": self._bucket,
            "prefix": self._prefix,
            "profile": self._profile,
            "kms_key": self.kms_key,
            "vpc": self.vpc,
        }
        return _restored, (type(self), tuple(settings.items()), self._makes_root)

    def __repr__(self) -> str:
        return f"Session.local({str(self.root)!r})" if self.is_local else f"Session.aws(region={self._region!r})"

    def _made_root(self) -> Path:
        assert self.root is not None
        if not self._makes_root:
            from dogbreed_sdk.local.store import is_root  # noqa: PLC0415

            if not is_root(self.root):
                why = "contains none of its files" if self.root.is_dir() else "does not exist"
                raise ConfigurationError(
                    f"The folder {self.root} {why}, so there is no local SageMaker. The first training job creates it."
                )
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder of local SageMaker, {self.root}, cannot be created: {error.strerror}. Choose another one."
            ) from error
        return self.root

    def _local_boto3(self) -> boto3.Session:
        if self._endpoint_url is not None:
            from dogbreed_sdk.local.boto import LocalBotoSession  # noqa: PLC0415

            return LocalBotoSession(self._endpoint_url)
        with optional.needed(extra="local", purpose="run local SageMaker"):
            from dogbreed_sdk.local.server import LocalSageMaker  # noqa: PLC0415
        self._server = LocalSageMaker(self._made_root()).start()
        return self._server.boto3_session()

    def _aws_boto3(self) -> boto3.Session:
        import boto3  # noqa: PLC0415

        from dogbreed_sdk.aws.errors import translated  # noqa: PLC0415

        with translated("open an AWS session", otherwise=ConfigurationError):
            return boto3.Session(profile_name=self._profile, region_name=self._region)


@functools.lru_cache(maxsize=16)
def _restored(kind: type[Session], settings: tuple[tuple[str, Any], ...], makes_root: bool) -> Session:
    """An unpickled session, shared: a process pool unpickles one per task, and creating a client takes 0.2 s."""
    restored = kind(**dict(settings))
    restored._makes_root = makes_root
    return restored


def _checked_kms_key(given: str | None) -> str | None:
    if given is not None and not (isinstance(given, str) and _KMS_KEY.fullmatch(given)):
        raise ConfigurationError(
            f"kms_key is {given!r}; pass the id, alias (alias/my-key) or ARN of a KMS key, or None for AWS's own keys."
        )
    return given


def _checked_vpc(given: Vpc | None) -> Vpc | None:
    if given is not None and not isinstance(given, Vpc):
        raise ConfigurationError(f"vpc is {given!r}; pass Vpc(subnets=[…], security_groups=[…]).")
    return given


def default_root() -> Path:
    """The default folder of local SageMaker: ``$DOGBREED_ROOT``, else ``~/.dogbreed``."""
    return Path(os.environ.get(ROOT_VARIABLE) or "~/.dogbreed").expanduser().absolute()
