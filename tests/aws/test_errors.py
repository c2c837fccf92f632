"""What AWS and botocore say becomes the SDK's error, with the remedy."""

from __future__ import annotations

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from dogbreed_sdk.aws import errors
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


def answer(code: str, message: str = "no", status: int = 400, **more: object) -> ClientError:
    content = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "id-1"},
    }
    return ClientError({**content, **more}, "InvokeEndpoint")  # type: ignore[arg-type]


EXPIRED_LOGINS = [
    UnauthorizedSSOTokenError(),
    SSOTokenLoadError(error_msg="Token has expired"),
    TokenRetrievalError(provider="sso", error_msg="Token has expired"),
    CredentialRetrievalError(provider="sso", error_msg="expired"),
    answer("ExpiredTokenException"),
]


@pytest.mark.parametrize("error", EXPIRED_LOGINS, ids=lambda error: type(error).__name__)
def test_an_expired_login_says_how_to_log_in(error: Exception) -> None:
    translated = errors.translate(error, "start job x")
    assert isinstance(translated, AccessError)
    assert "start job x" in str(translated)
    assert "aws sso login" in str(translated)


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (NoCredentialsError(), AccessError, "aws configure"),
        (NoRegionError(), ConfigurationError, "AWS_DEFAULT_REGION, or work without AWS"),
        (answer("AccessDeniedException"), AccessError, "permission"),
        (answer("403", "Forbidden", 403), AccessError, "permission"),
        (answer("NoSuchBucket"), ConfigurationError, "DOGBREED_BUCKET"),
        (answer("ResourceLimitExceeded"), QuotaError, "Service Quotas"),
        (answer("ThrottlingException"), ThrottledError, "Try again"),
        (answer("SlowDown", status=503), ThrottledError, "Try again"),
        (ReadTimeoutError(endpoint_url="https://x"), EndpointTimeoutError, "the response timed out."),
        (ConnectTimeoutError(endpoint_url="https://x"), EndpointTimeoutError, "the connection timed out"),
        (EndpointConnectionError(endpoint_url="https://x"), EndpointError, "Check the network"),
        (answer("ValidationException", "wrong"), JobError, "wrong"),
        (answer("SomethingNew", "odd"), JobError, "odd (SomethingNew)"),
    ],
)
def test_each_error_has_its_class_and_remedy(error: Exception, expected: type[DogBreedError], said: str) -> None:
    translated = errors.translate(error, "start job x")
    assert type(translated) is expected
    assert said in str(translated)


SKEWED = "Signature expired: 20261129T100000Z is now earlier than 20261129T120000Z (20261129T120500Z - 5 min.)"


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("InvalidSignatureException", SKEWED, "Set the clock"),
        ("SignatureDoesNotMatch", "Signature not yet current: 20261129T140000Z is still later than", "Set the clock"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is", "Set the clock"),
        ("RequestExpired", "Request has expired.", "Set the clock"),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match", "secret access key"),
        ("InvalidSignatureException", "The request signature we calculated does not match", "secret access key"),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", "does not know these"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", "does not know"),
        ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", "does not know"),
        ("ExpiredToken", "The provided token has expired.", "aws sso login"),
        ("TokenRefreshRequired", "The provided token must be refreshed.", "aws sso login"),
        ("OptInRequired", "The AWS Access Key Id needs a subscription for the service", "activate it"),
    ],
)
def test_a_refusal_of_who_asks_is_no_missing_permission(code: str, message: str, remedy: str) -> None:
    translated = errors.translate(answer(code, message, 403), "start job x")
    assert isinstance(translated, AccessError)
    assert message in str(translated)
    assert remedy in str(translated)
    assert "permission" not in str(translated)


def test_errors_of_boto3_count_as_the_error_behind_them() -> None:
    def upload() -> None:
        try:
            raise answer("AccessDenied", status=403)
        except ClientError:
            raise S3UploadFailedError("Failed to upload a to b")  # noqa: B904 - as boto3 raises it

    with pytest.raises(AccessError, match="Could not copy a"), errors.translated("copy a"):
        upload()
    with pytest.raises(JobError, match="Failed to upload"), errors.translated("copy a"):
        raise S3UploadFailedError("Failed to upload a to b")


def test_a_proxys_password_stays_out_of_the_message() -> None:
    error = errors.translate(ProxyConnectionError(proxy_url="http://me:secret@proxy:3128"), "read job x")
    assert "proxy:3128" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (answer("ThrottlingException"), True),
        (answer("ModelNotReadyException", status=429), True),
        (answer("InternalFailure", status=500), True),
        (answer("ServiceUnavailable", status=503), True),
        (ConnectionClosedError(endpoint_url="https://x"), True),
        (ConnectTimeoutError(endpoint_url="https://x"), True),
        (ResponseStreamingError(error="gone"), True),
        (IncompleteReadError(actual_bytes=3, expected_bytes=9), True),
        (answer("ModelError", status=424, OriginalStatusCode=503), True),
        (answer("ModelError", status=424, OriginalStatusCode=500), False),
        (EndpointConnectionError(endpoint_url="https://x"), True),
        (answer("ModelError", status=424), False),
        (answer("ModelError", status=500), False),
        (answer("ValidationError"), False),
        (ReadTimeoutError(endpoint_url="https://x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_may_succeed_in_a_moment_is_transient(error: Exception, transient: bool) -> None:
    assert errors.is_transient(error) is transient


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answer("ValidationError", "Endpoint dogs of account 1 not found."), EndpointNotFoundError),
        (answer("ValidationException", "Endpoint dogs not found"), EndpointNotFoundError),
        (answer("InternalDependencyException", "Variant not found", 530), EndpointError),
        (answer("ModelNotReadyException", "Model is loading", 429), EndpointNotReadyError),
        (answer("ValidationError", "Endpoint dogs is not in service."), EndpointNotReadyError),
        (answer("ServiceUnavailable", status=503), ThrottledError),
        (answer("ThrottlingException"), ThrottledError),
        (answer("AccessDeniedException"), AccessError),
        (ReadTimeoutError(endpoint_url="https://x"), EndpointTimeoutError),
        (ConnectTimeoutError(endpoint_url="https://x"), EndpointTimeoutError),
        (ResponseStreamingError(error="gone"), EndpointError),
        (answer("413", "too large", 413), PayloadTooLargeError),
        (answer("ModelError", "busy", 424, OriginalStatusCode=503), ThrottledError),
        (answer("ModelError", "Your invocation timed out", 424, OriginalStatusCode=0), EndpointTimeoutError),
    ],
)
def test_a_failed_call_of_an_endpoint_has_its_class(error: Exception, expected: type[DogBreedError]) -> None:
    translated = errors.invocation_error(error, "dogs")
    assert type(translated) is expected
    assert "dogs" in str(translated)


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "413"])
def test_awss_words_end_before_the_remedy_begins(code: str) -> None:
    said = str(errors.invocation_error(answer(code, "Rate exceeded", 413 if code == "413" else 400), "dogs"))
    assert "Rate exceeded" in said
    assert "Rate exceeded Try" not in said and "Rate exceeded Ask" not in said and "Rate exceeded Give" not in said


def test_a_missing_endpoint_is_missing_in_a_session() -> None:
    missing = answer("ValidationError", "Endpoint dogs of account 1 not found.")
    said = str(errors.invocation_error(missing, "dogs", "Session.local('/x')"))
    assert said.startswith("The endpoint dogs does not exist in Session.local('/x'). ")


@pytest.mark.parametrize("error", [answer("x" * 40_000, status=500), answer("x" * 9_000, "y" * 40_000, 999)])
def test_what_something_else_answers_does_not_fill_the_screen(error: ClientError) -> None:
    assert len(str(errors.invocation_error(error, "dogs"))) < 1500


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\x90", 0, 1, "invalid start byte"),
        AttributeError("'list' object has no attribute 'get'"),
        ResponseParserError("Unable to parse response"),
    ],
)
def test_an_answer_that_botocore_cannot_read_is_not_sagemakers(error: Exception) -> None:
    translated = errors.invocation_error(error, "dogs")
    assert type(translated) is EndpointError
    assert "invoke endpoint dogs: the response is not SageMaker's" in str(translated)
    assert str(error) not in str(translated)


def test_a_models_own_words_are_kept_even_if_they_say_not_found() -> None:
    error = answer("ModelError", "long", 424, OriginalStatusCode=500, OriginalMessage="label not found")
    translated = errors.invocation_error(error, "dogs")
    assert type(translated) is ModelError
    assert "answered 500: label not found" in str(translated)
    assert translated.request_id == "id-1"
