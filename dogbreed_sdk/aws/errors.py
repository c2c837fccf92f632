"""Translates AWS's errors into the SDK's: what failed, on which resource, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from dogbreed_sdk._util.text import retry_after_seconds, sentence
from dogbreed_sdk.aws.clients import SET_REGION, WITHOUT_AWS
from dogbreed_sdk.errors import (
    AccessError,
    ConfigurationError,
    DogBreedError,
    EndpointError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointTimeoutError,
    JobError,
    ModelError,
    PayloadTooLargeError,
    QuotaError,
    ThrottledError,
)
from training_scripts._util.safe_text import redacted
from training_scripts._util.suggestions import did_you_mean

_ASK_FOR_PERMISSION = "Request this permission, or use a role that has it."
_LOG_IN_AGAIN = "Log in again, for example with 'aws sso login'."
_CHECK_KEYS = (
    "AWS does not know these credentials: check the access key, and that the session token, if there is one, belongs "
    "to it. 'aws sts get-caller-identity' shows whose they are."
)
_CHECK_SIGNING_KEY = (
    "Check the secret access key: it does not belong to the access key, or was truncated when it was copied."
)
_SET_THE_CLOCK = (
    "This machine's clock is wrong: AWS refuses requests whose time differs by more than 5 minutes (S3: 15). Set "
    "the clock, for example with 'sudo timedatectl set-ntp true', and try again."
)
_ACTIVATE = "The account or the region is not activated for this service: activate it in the AWS console."
# Sources: the API references' "Common Errors", and S3's list of error codes. S3 answers
# HEAD requests with a status alone.
_ACCESS_REMEDIES = {
    "403": _ASK_FOR_PERMISSION,
    "AccessDenied": _ASK_FOR_PERMISSION,
    "AccessDeniedException": _ASK_FOR_PERMISSION,
    "NotAuthorized": _ASK_FOR_PERMISSION,
    "UnauthorizedOperation": _ASK_FOR_PERMISSION,
    "ExpiredToken": _LOG_IN_AGAIN,
    "ExpiredTokenException": _LOG_IN_AGAIN,
    "TokenRefreshRequired": _LOG_IN_AGAIN,
    "AuthFailure": _CHECK_KEYS,
    "InvalidAccessKeyId": _CHECK_KEYS,
    "InvalidClientTokenId": _CHECK_KEYS,
    "InvalidToken": _CHECK_KEYS,
    "UnrecognizedClientException": _CHECK_KEYS,
    "IncompleteSignature": _CHECK_SIGNING_KEY,
    "IncompleteSignatureException": _CHECK_SIGNING_KEY,
    "InvalidSignatureException": _CHECK_SIGNING_KEY,
    "SignatureDoesNotMatch": _CHECK_SIGNING_KEY,
    "MissingAuthenticationToken": f"The request carried no credentials. {_LOG_IN_AGAIN}",
    "MissingAuthenticationTokenException": f"The request carried no credentials. {_LOG_IN_AGAIN}",
    "RequestExpired": _SET_THE_CLOCK,
    "RequestInTheFuture": _SET_THE_CLOCK,
    "RequestTimeTooSkewed": _SET_THE_CLOCK,
    "OptInRequired": _ACTIVATE,
    "RegionDisabledException": _ACTIVATE,
    "SubscriptionRequiredException": _ACTIVATE,
}
# Services also report a wrong clock in the message of a code about signatures.
_ABOUT_THE_CLOCK = re.compile(r"Signature (?:expired|not yet current)", re.IGNORECASE)
_THROTTLING_CODES = {
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_VALIDATION_CODES = {"ValidationError", "ValidationException"}
# A validation error lists all valid values, hundreds for an instance type.
_LONGEST_MESSAGE = 1200
# The answer to an instance type of a family that neither botocore nor SageMaker knows.
_UNKNOWN_INSTANCE_TYPE = re.compile(
    r"Value '(?P<type>[^']*)' at '[^']*[iI]nstanceType' failed to satisfy constraint: Member must satisfy enum value "
    r"set: \[(?P<known>[^\]]*)"
)
_VARIANT_NOT_FOUND = re.compile(
    r"\W*(?:target\s*|production\s*)?variant\b.*not (?:found|exist)", re.IGNORECASE | re.DOTALL
)
# AWS's codes have up to 50 characters; if something else answers, botocore takes any text as the code.
_LONGEST_CODE = 100
# A multi-model or asynchronous model is still being loaded (API reference, InvokeEndpoint: status 429).
_NOT_READY_CODE = "ModelNotReadyException"
# These statuses of a container are transient; any other error would recur with the same picture.
_BUSY_MODEL_STATUS = {429, 503}
# The connection was lost before, while or after the request was sent, or in the middle of the answer.
_LOST_CONNECTIONS = (
    EndpointConnectionError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ResponseStreamingError,
    IncompleteReadError,
)
# What botocore's parsers raise for a response that is not SageMaker's: bytes that are not UTF-8, a list instead of an
# object.
_UNREADABLE = (ResponseParserError, UnicodeError, AttributeError, TypeError, KeyError, IndexError, RecursionError)


@contextmanager
def translated(doing: str, *, otherwise: type[DogBreedError] = JobError) -> Iterator[None]:
    """Turns errors of botocore and boto3 inside the block into the SDK's.

    Args:
        doing: The action and its object, as in "start training job x".
        otherwise: The class of errors that have no class for their code.
    """
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        raise translate(error, doing, otherwise=otherwise) from error


def translate(error: Exception, doing: str, *, otherwise: type[DogBreedError] = JobError) -> DogBreedError:
    """The SDK's error for one of botocore's or boto3's."""
    if isinstance(error, Boto3Error) and isinstance(error.__context__, (ClientError, BotoCoreError)):
        # boto3's transfers put the error that says more into words.
        error = error.__context__
    if isinstance(error, ClientError):
        return _from_answer(error, doing, otherwise)
    if isinstance(error, (SSOError, TokenRetrievalError, CredentialRetrievalError)):
        return AccessError(f"Could not {doing}: {sentence(str(error))} {_LOG_IN_AGAIN}")
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, ProfileNotFound)):
        return AccessError(
            f"Could not {doing}: no usable AWS credentials ({error}). Set up a profile with 'aws configure' or "
            f"'aws sso login', {WITHOUT_AWS}"
        )
    if isinstance(error, NoRegionError):
        return ConfigurationError(f"Could not {doing}: no AWS region is configured. {SET_REGION}")
    if isinstance(error, ConnectTimeoutError):
        return EndpointTimeoutError(f"Could not {doing}: the connection timed out ({error}).", limit="connect_timeout")
    if isinstance(error, ReadTimeoutError):
        return EndpointTimeoutError(f"Could not {doing}: the response timed out.", limit="read_timeout")
    if isinstance(error, (ResponseStreamingError, IncompleteReadError)):
        return EndpointError(f"Could not {doing}: the connection was lost while reading the response ({error}).")
    if isinstance(error, ProxyConnectionError):
        return EndpointError(
            f"Could not {doing}: {sentence(redacted(str(error)))} Check the proxy's address and password."
        )
    if isinstance(error, EndpointConnectionError):
        return EndpointError(f"Could not {doing}: {sentence(str(error))} Check the network, the region and any proxy.")
    if isinstance(error, ParamValidationError):
        return ConfigurationError(f"Could not {doing}: {error}")
    return otherwise(f"Could not {doing}: {_shortened(str(error))}")


def is_missing_variant(error: BaseException) -> bool:
    """Whether InvokeEndpoint answered that the endpoint exists, but has no variant of the request's name.

    AWS documents no text for this case. The message about an endpoint begins with its own name, "Endpoint dogs of
    account 123456789012 not found.".
    """
    if not isinstance(error, ClientError):
        return False
    code, message, _ = _facts(error)
    return code in _VALIDATION_CODES and bool(_VARIANT_NOT_FOUND.match(message))


def invocation_error(error: Exception, endpoint_name: str, where: str = "") -> DogBreedError:
    """The SDK's error for a failed call of an endpoint.

    Args:
        error: What was raised.
        endpoint_name: The endpoint.
        where: The session that was used, for messages.
    """
    doing = f"invoke endpoint {endpoint_name}"
    if isinstance(error, _UNREADABLE):
        return EndpointError(
            f"Could not {doing}: the response is not SageMaker's ({type(error).__name__}). Check the session's "
            "endpoint_url, and whether a proxy answers instead of SageMaker."
        )
    if not isinstance(error, ClientError):
        return translate(error, doing, otherwise=EndpointError)
    code, message, request_id = _facts(error)
    if code == "ModelError":
        return _model_error(error, endpoint_name)
    if is_missing_variant(error):
        return EndpointError(f"Could not {doing}: {sentence(message)}", request_id=request_id)
    if code in _VALIDATION_CODES and "not found" in message.lower():
        place = f" in {where}" if where else ""
        return EndpointNotFoundError(
            f"The endpoint {endpoint_name} does not exist{place}. 'dogbreed endpoints' lists the endpoints.",
            request_id=request_id,
        )
    if code == _NOT_READY_CODE or "is not in service" in message.lower():
        return EndpointNotReadyError(f"Endpoint {endpoint_name} is not ready: {message}", request_id=request_id)
    if code in _VALIDATION_CODES and "asynchronous" in message.lower():
        return EndpointError(
            f"Could not {doing}: {sentence(message)} Create its client with Deployment(name, session).classifier(), "
            "which uses asynchronous endpoints, too.",
            request_id=request_id,
        )
    if code == "ServiceUnavailable":
        return ThrottledError(f"Endpoint {endpoint_name} is overloaded: {message}", request_id=request_id)
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 413:
        return PayloadTooLargeError(
            f"The request is too large for endpoint {endpoint_name}: {sentence(message)} Set max_payload_bytes; a "
            "serverless endpoint accepts 4 MiB.",
            request_id=request_id,
        )
    return _from_answer(error, doing, EndpointError)


def _model_error(error: ClientError, endpoint_name: str) -> DogBreedError:
    """The error that the container reported, with its message."""
    _, message, request_id = _facts(error)
    status = error.response.get("OriginalStatusCode", "")
    original = _shortened(str(error.response.get("OriginalMessage") or message).strip())
    if status in _BUSY_MODEL_STATUS:
        return ThrottledError(
            f"The model behind endpoint {endpoint_name} is overloaded: {sentence(original)} Try again in a moment.",
            request_id=request_id,
        )
    if status == 0 and "timed out" in message:
        return EndpointTimeoutError(
            f"The model behind endpoint {endpoint_name} timed out: {original or message}",
            request_id=request_id,
        )
    did = f"answered {status}" if status else "failed"
    return ModelError(f"The model behind endpoint {endpoint_name} {did}: {original}", request_id=request_id)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed in a moment: throttling, a server's error, or a lost connection.

    A model's own error is not transient unless the model is busy: the same picture would cause it again.
    """
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "ModelError":
            return error.response.get("OriginalStatusCode") in _BUSY_MODEL_STATUS
        return code in _THROTTLING_CODES or code == _NOT_READY_CODE or status >= 500
    return isinstance(error, _LOST_CONNECTIONS)


def minimum_pause(error: BaseException) -> float:
    """Seconds that AWS or the container asks to wait before the next attempt; 0 by default."""
    if not isinstance(error, ClientError):
        return 0.0
    headers: dict[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    return retry_after_seconds(headers.get("retry-after"))


def is_missing(error: ClientError) -> bool:
    """Whether the error says that the resource does not exist."""
    code, message, _ = _facts(error)
    return code in {"ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "404"} or (
        code in _VALIDATION_CODES
        and any(words in message for words in ("Could not find", "does not exist", "not found"))
    )


def is_refused(error: ClientError) -> bool:
    """Whether the error says that a permission is missing."""
    return _ACCESS_REMEDIES.get(_facts(error)[0]) == _ASK_FOR_PERMISSION


def request_id(error: Exception) -> str | None:
    """AWS's id of the failed request, if there is one."""
    return _facts(error)[2] if isinstance(error, ClientError) else None


def _facts(error: ClientError) -> tuple[str, str, str | None]:
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    return code[:_LONGEST_CODE], _shortened(message), metadata.get("RequestId")


def _shortened(message: str) -> str:
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[: _LONGEST_MESSAGE // 2]} … {message[-_LONGEST_MESSAGE // 2 :]}"


def _from_answer(error: ClientError, doing: str, otherwise: type[DogBreedError]) -> DogBreedError:
    code, message, request_id = _facts(error)
    reason = f"Could not {doing}: {message or code}"
    what_failed = sentence(reason)
    if code in _ACCESS_REMEDIES:
        remedy = _ACCESS_REMEDIES[code]
        if remedy == _CHECK_SIGNING_KEY and _ABOUT_THE_CLOCK.search(message):
            remedy = _SET_THE_CLOCK
        return AccessError(f"{what_failed} {remedy}", request_id=request_id)
    if code == "ResourceLimitExceeded":
        return QuotaError(
            f"{what_failed} Request an increase under Service Quotas, delete endpoints that you no longer need "
            "('dogbreed endpoints'), or choose another instance type.",
            request_id=request_id,
        )
    if code == "NoSuchBucket":
        return ConfigurationError(
            f"{what_failed} Pass Session.aws(bucket=…) or set DOGBREED_BUCKET to a bucket that exists.",
            request_id=request_id,
        )
    if code in _THROTTLING_CODES:
        return ThrottledError(f"{what_failed} Try again in a moment.", request_id=request_id)
    if code in _VALIDATION_CODES:
        unknown = _UNKNOWN_INSTANCE_TYPE.search(message)
        if unknown:
            hint = did_you_mean(unknown["type"], unknown["known"].split(", "))
            return ConfigurationError(
                f"Could not {doing}: SageMaker has no instance type {unknown['type']} for this{hint or '.'}",
                request_id=request_id,
            )
        return otherwise(reason, request_id=request_id)
    return otherwise(f"{reason} ({code})", request_id=request_id)
