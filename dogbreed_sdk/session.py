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
from dogbreed_sdk._util.paths import full_path
from dogbreed_sdk.aws.clients import NO_REGION, Clients
from dogbreed_sdk.aws.storage import Storage, join
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import boto3

    from dogbreed_sdk.aws.buckets import SessionBucket
    from dogbreed_sdk.aws.sagemaker_config import SageMakerConfig
    from dogbreed_sdk.local import LocalSageMaker
    from dogbreed_sdk.local.store import Store

ROOT_VARIABLE = "DOGBREED_ROOT"
ROLE_VARIABLE = "DOGBREED_ROLE"
BUCKET_VARIABLE = "DOGBREED_BUCKET"

_LOCAL_ROLE_ARN = "arn:aws:iam::000000000000:role/local-sagemaker"
_LOCAL_IMAGE_URI = "local/this-python-environment"
_PREFIX = "dogbreed"
# API reference, OutputDataConfig and ResourceConfig: the id or alias of a key, or an ARN.
_KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")


class Session:
    """Where calls go, under which role, and where files are stored. Create one with `local` or `aws`.

    The arguments are those of `local` and `aws`. Nothing is imported, started or looked up before it is needed, so a
    session costs nothing to create. One session serves any number of threads. It can be pickled, for process pools and
    task queues: the other process opens its own connections with its own credentials.

    Attributes:
        is_local: Whether this is local SageMaker.
        root: The folder of local SageMaker, or None.
        client: Gives the boto3 client of a service, created once and shared: ``session.client("sagemaker")``.
        storage: Files behind s3:// and file:// URIs.

    Examples:
        >>> with Session.local("local-sagemaker") as session:
        ...     session.is_local, session.region
        (True, '...')
        >>> aws = Session.aws(region="eu-central-1", role="SageMakerRole", bucket="my-dogs")
        >>> aws.base_uri
        's3://my-dogs/dogbreed'
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        role: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        profile: str | None = None,
        boto3_session: boto3.Session | None = None,
        kms_key: str | None = None,
        vpc: Vpc | None = None,
    ) -> None:
        self.root = root
        self.is_local = root is not None
        self.client = Clients(lambda: self.boto3_session)
        self.storage = Storage(lambda: self.client("s3"), bucket=self._session_bucket, kms_key=lambda: self.kms_key)
        self._kms_key = _checked_kms_key(kms_key)
        self._vpc = _checked_vpc(vpc)
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
        self._config: SageMakerConfig | None = None
        self._made_bucket: SessionBucket | None = None
        self._lock = RLock()

    @classmethod
    def local(cls, root: str | Path | None = None, *, endpoint_url: str | None = None) -> Session:
        """Local SageMaker under a folder: no account, no network, no Docker.

        Jobs and endpoints outlive the session: open the same folder again, from any process, to find them.

        Args:
            root: The folder; it is created if missing. Default: ``$DOGBREED_ROOT``, else ``~/.dogbreed``.
            endpoint_url: A server that already runs on that folder (``dogbreed local up``). Default: a server
                inside this process, started by the first call.
        """
        chosen = default_root() if root is None else full_path(root)
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
        prefix: str | None = None,
        profile: str | None = None,
        boto3_session: boto3.Session | None = None,
        kms_key: str | None = None,
        vpc: Vpc | None = None,
    ) -> Session:
        """SageMaker on AWS.

        What is not given is taken from environment variables, then from the configuration files of SageMaker's own SDK
        (``~/.config/sagemaker/config.yaml`` and the administrator's; its ``SageMaker.TrainingJob`` and
        ``PythonSDK.Modules.Session``), when it is first needed.

        Args:
            region: For example ``us-east-1``. Default: that of the AWS configuration.
            role: Name or ARN of the role that jobs and models assume. Default: ``$DOGBREED_ROLE``, else RoleArn of
                SageMaker's configuration, else that of the SageMaker notebook, else the role this code runs under.
                Invoking an endpoint needs no role.
            bucket: S3 bucket for data, source and models. Default: ``$DOGBREED_BUCKET``, else DefaultS3Bucket of
                SageMaker's configuration, else SageMaker's usual ``sagemaker-<region>-<account>``: the first upload
                creates it if it is missing, private and encrypted.
            prefix: Key prefix under which everything is stored in the bucket. Default: ``dogbreed``, in the
                configuration's default bucket below its DefaultS3ObjectKeyPrefix.
            profile: Profile of the AWS configuration files.
            boto3_session: Your own boto3 session, instead of profile and region.
            kms_key: Id, alias or ARN of a KMS key, for uploads, results, and the disks of jobs and endpoints. The role
                and you must be allowed to use it. Default: OutputDataConfig.KmsKeyId of SageMaker's configuration, else
                keys that AWS manages.
            vpc: `Vpc` for jobs and models. Default: VpcConfig of SageMaker's configuration, else SageMaker's own
                network.

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
            raise ConfigurationError(NO_REGION)
        return str(name)

    @property
    def role_arn(self) -> str:
        """The role that jobs and models assume.

        Raises:
            ConfigurationError: No role was given or found, or SageMaker may not assume it.
            AccessError: The credentials do not work.
        """
        if self.is_local:
            return _LOCAL_ROLE_ARN
        from dogbreed_sdk.aws import roles  # noqa: PLC0415

        with self._lock:
            role, config = self._role, None
            if role is None:
                config = self._sagemaker_config()
                role = config.role
            if role is not None:
                self._role = roles.named_role(self.client, role)
            else:
                self._role = roles.found_role(self.client, config_places=config.places if config else ())
            return self._role

    @property
    def kms_key(self) -> str | None:
        """The key that encrypts what this session stores and its jobs' disks, or None."""
        return self._kms_key or (None if self.is_local else _checked_kms_key(self._sagemaker_config().kms_key))

    @property
    def vpc(self) -> Vpc | None:
        """The network that jobs and models run in, or None for SageMaker's own."""
        return self._vpc or (None if self.is_local else self._sagemaker_config().vpc)

    @property
    def default_tags(self) -> Mapping[str, str]:
        """The tags that SageMaker's configuration gives to training jobs."""
        return {} if self.is_local else self._sagemaker_config().tags

    @property
    def base_uri(self) -> str:
        """The folder (an s3:// or file:// URI) that holds data, source code, features and models.

        The bucket may not exist yet: `storage` creates the default one before it first writes to it.
        """
        if self.root is not None:
            return container.path_to_uri(self._made_root() / "bucket")
        bucket = self._aws_bucket()
        prefix = self._prefix
        if prefix is None:
            # An administrator may allow only this part of the default bucket.
            below = None if self._bucket else self._sagemaker_config().prefix
            prefix = f"{below.strip('/')}/{_PREFIX}" if below else _PREFIX
        return join(f"s3://{bucket.name}", prefix)

    def check_account(self) -> None:
        """Checks before any work that credentials, bucket and SageMaker can be used; creates the default bucket.

        Raises:
            ConfigurationError: The role or bucket is missing or cannot be used by SageMaker.
            AccessError: Credentials or a permission are missing.
        """
        if not self.is_local:
            from dogbreed_sdk.aws import account  # noqa: PLC0415

            account.check(self.client, region=self.region, role=self.role_arn, bucket=self._aws_bucket())

    @property
    def bucket_name(self) -> str:
        """Name of the S3 bucket, which may not exist yet: the first upload creates it.

        Raises:
            ConfigurationError: This is local SageMaker, which has no bucket.
            AccessError: The credentials do not work.
        """
        if self.is_local:
            raise ConfigurationError(f"{self!r} has no bucket; its files are below {self.root}.")
        return self._aws_bucket().name

    def image_uri(self, scope: str, instance_type: str, *, framework_version: str | None = None) -> str:
        """The container image for ``training`` or ``inference``; local SageMaker uses this Python environment.

        Args:
            scope: ``training`` or ``inference``.
            instance_type: Decides whether it is the CPU or the GPU image.
            framework_version: Version of PyTorch. Default: 2.6.

        Raises:
            ConfigurationError: AWS has no such image in the session's region; the message lists the versions.
        """
        if self.is_local:
            return _LOCAL_IMAGE_URI
        with optional.needed(extra="aws", purpose="work on AWS"):
            from dogbreed_sdk.aws.requests import images  # noqa: PLC0415
        return images.pytorch_image_uri(
            scope, region=self.region, instance_type=instance_type, framework_version=framework_version
        )

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
            "kms_key": self._kms_key,
            "vpc": self._vpc,
        }
        return _restored, (type(self), tuple(settings.items()), self._makes_root)

    def __repr__(self) -> str:
        return f"Session.local({str(self.root)!r})" if self.is_local else f"Session.aws(region={self._region!r})"

    def _session_bucket(self) -> SessionBucket | None:
        return None if self.is_local else self._aws_bucket()

    def _aws_bucket(self) -> SessionBucket:
        from dogbreed_sdk.aws.buckets import SessionBucket  # noqa: PLC0415

        with self._lock:
            if self._made_bucket is None:
                given = self._bucket or self._sagemaker_config().bucket
                self._made_bucket = SessionBucket(
                    self.client, region=lambda: self.region, given=given, kms_key=self.kms_key
                )
            return self._made_bucket

    def _sagemaker_config(self) -> SageMakerConfig:
        from dogbreed_sdk.aws import sagemaker_config  # noqa: PLC0415

        with self._lock:
            if self._config is None:
                self._config = sagemaker_config.read(self.client)
            return self._config

    def _local_store(self) -> Store | None:
        if self.root is None or self._endpoint_url is not None:
            return None
        from dogbreed_sdk.local.store import Store  # noqa: PLC0415

        return Store(self._made_root())

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


def local_store(session: Session) -> Store | None:
    """The records of a session's local SageMaker, for listings; close it afterward.

    Returns:
        None on AWS, and for a session whose server somebody else runs: its folder may be on another machine.

    Raises:
        ConfigurationError: The folder holds no local SageMaker, for a session that does not create one.
    """
    return session._local_store()


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
    return full_path(os.environ.get(ROOT_VARIABLE) or "~/.dogbreed")
