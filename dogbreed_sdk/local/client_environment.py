"""The environment in which programs for SageMaker's SDKs call local SageMaker, and nothing of theirs reaches AWS."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed_sdk._util.caller_environment import LOCAL_ACCESS_KEY
from dogbreed_sdk.local import aws_redirect
from dogbreed_sdk.local.s3.direct import ROOT_VARIABLE
from dogbreed_sdk.local.store import ACCOUNT_ID, DEFAULT_REGION, ROLE_ARN
from training_scripts._util.atomic import write_atomically

FOLDER = "client"

# botocore's names of the services that the server offers. AWS_ENDPOINT_URL alone covers all services, so that others
# are refused with a message; one of these that is set already for another purpose would take precedence.
_SERVICES = (
    "CLOUDWATCH",
    "CLOUDWATCH_LOGS",
    "IAM",
    "S3",
    "SAGEMAKER",
    "SAGEMAKER_FEATURESTORE_RUNTIME",
    "SAGEMAKER_METRICS",
    "SAGEMAKER_RUNTIME",
    "STS",
)
# Where the user's own credentials, and other places than the server, might come from.
_UNSET = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
_ENDPOINT = "AWS_ENDPOINT_URL"
# Other services' addresses, and keys such as AWS_BEARER_TOKEN_BEDROCK.
_UNSET_PREFIXES = (f"{_ENDPOINT}_", "AWS_BEARER_TOKEN_")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROFILE = re.compile(r"(?:profile\s+)?[\"']?([^\"'\[\]\n]+?)[\"']?")


@dataclass(frozen=True)
class ClientEnvironment:
    """Changes of a program's environment.

    Attributes:
        variables: The variables to set.
        unset: The variables to remove.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    def applied(self, current: Mapping[str, str]) -> dict[str, str]:
        """An environment with the changes."""
        return {**{name: value for name, value in current.items() if name not in self.unset}, **self.variables}


def client_environment(url: str, root: Path, current: Mapping[str, str]) -> ClientEnvironment:
    """The environment for programs that use the server at a URL; writes the files that it names.

    Args:
        url: The server's URL.
        root: The root folder of local SageMaker; the files are written below it.
        current: The environment that is to be changed.
    """
    folder = Path(root).absolute() / FOLDER
    profiles = _profiles(current)
    region = current.get("AWS_REGION") or current.get("AWS_DEFAULT_REGION") or _profile_region(profiles, current)
    _write_files(folder, profiles, region)
    sagemaker_config = str(folder / "sagemaker-config.yaml")
    package = str(Path(aws_redirect.__file__).parent)
    variables = {
        _ENDPOINT: url,
        **{f"{_ENDPOINT}_{service}": url for service in _SERVICES},
        "AWS_ACCESS_KEY_ID": LOCAL_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": LOCAL_ACCESS_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "dogbreed=dogbreed_local_aws",
        "PYTHONPATH": _joined(package, current.get("PYTHONPATH", ""), ":"),
        "NO_PROXY": _joined(",".join(_LOOPBACK), current.get("NO_PROXY", ""), ","),
        "no_proxy": _joined(",".join(_LOOPBACK), current.get("no_proxy", current.get("NO_PROXY", "")), ","),
        ROOT_VARIABLE: str(Path(root).absolute()),
        # The administrator's file too: it would be merged with the user's, and knows a real account.
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": sagemaker_config,
        "SAGEMAKER_USER_CONFIG_OVERRIDE": sagemaker_config,
    }
    strangers = [name for name in current if name.startswith(_UNSET_PREFIXES) and name not in variables]
    return ClientEnvironment(variables, tuple(sorted({*_UNSET, *strangers})))


def _joined(first: str, rest: str, separator: str) -> str:
    """Two lists in one, each item once."""
    return separator.join(dict.fromkeys(item for item in (*first.split(separator), *rest.split(separator)) if item))


def _write_files(folder: Path, profiles: Mapping[str, str | None], region: str) -> None:
    """Writes the configurations of AWS's tools and of the SageMaker SDKs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config, credentials = [], []
    for name, own_region in {"default": None, **profiles}.items():
        config += [f"[{'default' if name == 'default' else f'profile {name}'}]", f"region = {own_region or region}", ""]
        keys = ("aws_access_key_id", "aws_secret_access_key")
        credentials += [f"[{name}]", *(f"{key} = {LOCAL_ACCESS_KEY}" for key in keys), ""]
    write_atomically(folder / "config", "\n".join(config), durable=False)
    write_atomically(folder / "credentials", "\n".join(credentials), durable=False)
    # YAML is a superset of JSON.
    document = json.dumps(_sagemaker_configuration(region), indent=2)
    write_atomically(folder / "sagemaker-config.yaml", f"{document}\n", durable=False)


def _sagemaker_configuration(region: str) -> dict[str, object]:
    """Defaults in the form that sagemaker 2 and 3 share."""
    return {
        "SchemaVersion": "1.0",
        "SageMaker": {
            "PythonSDK": {
                "Modules": {
                    "Session": {"DefaultS3Bucket": f"sagemaker-{region}-{ACCOUNT_ID}"},
                    "TelemetryOptOut": True,
                }
            },
            "Model": {"ExecutionRoleArn": ROLE_ARN},
            "ProcessingJob": {"RoleArn": ROLE_ARN},
            "TrainingJob": {"RoleArn": ROLE_ARN},
        },
    }


def _profiles(current: Mapping[str, str]) -> dict[str, str | None]:
    """The names of the user's AWS profiles, which programs may ask for, with their regions; nothing else of them."""
    home = Path(current.get("HOME", "~")).expanduser() / ".aws"
    found: dict[str, str | None] = {}
    for variable, usual in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(current.get(variable) or home / usual).expanduser()
        for name, region in _sections(path):
            found[name] = region or found.get(name)
    return found


def _sections(path: Path) -> Iterator[tuple[str, str | None]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return
    for section in parser.sections():
        name = _PROFILE.fullmatch(section)
        if name and not section.startswith(("sso-session ", "services ")):
            yield name.group(1), parser.get(section, "region", fallback=None)


def _profile_region(profiles: Mapping[str, str | None], current: Mapping[str, str]) -> str:
    name = current.get("AWS_PROFILE") or current.get("AWS_DEFAULT_PROFILE") or "default"
    return profiles.get(name) or DEFAULT_REGION
