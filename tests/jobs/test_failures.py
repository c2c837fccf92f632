"""Reasons and logs in, an explanation out."""

from __future__ import annotations

import pytest

from dogbreed_sdk.jobs.failures import TRACEBACK_LINES, diagnose
from dogbreed_sdk.jobs.known_failures import KNOWN_FAILURES, KnownFailure

TRACEBACK = [
    "epoch 1/10 train:loss=0.5",
    "Traceback (most recent call last):",
    '  File "train_model.py", line 3, in <module>',
    "    import simplejpeg",
    "ModuleNotFoundError: No module named 'simplejpeg'",
    "supervisor: exit status 1",
]


def test_the_traceback_ends_with_the_exception_and_not_with_what_follows() -> None:
    failure = diagnose("AlgorithmError: ExecuteUserScriptError", TRACEBACK)
    assert failure.traceback.splitlines() == TRACEBACK[1:5]
    assert failure.cause == "ModuleNotFoundError: No module named 'simplejpeg'"
    assert "'simplejpeg'" in failure.fix


@pytest.mark.parametrize(
    "exception",
    ["subprocess.TimeoutExpired: Command 'x' timed out after 5 seconds", "mine.DataCorrupt: record 7", "StopIteration"],
)
def test_an_exception_may_have_any_name(exception: str) -> None:
    log = ["Traceback (most recent call last):", '  File "x.py", line 1', "    run()", exception, "ValueError: later"]
    failure = diagnose("", log)
    assert failure.cause == exception
    assert failure.traceback.splitlines() == log[:4]


def test_channels_of_pictures_are_no_channels_of_jobs() -> None:
    assert diagnose("RuntimeError: expected input to have 3 channels, but got 4 channels instead", []).fix == ""


def test_of_several_tracebacks_the_last_counts() -> None:
    later = ["Traceback (most recent call last):", '  File "b.py", line 1', "RuntimeError: CUDA out of memory"]
    failure = diagnose("", [*TRACEBACK, *later])
    assert failure.cause == "RuntimeError: CUDA out of memory"
    assert "batch-size" in failure.fix


def test_a_long_traceback_is_cut_at_its_beginning() -> None:
    frames = [f'  File "deep.py", line {number}' for number in range(100)]
    failure = diagnose("", ["Traceback (most recent call last):", *frames, "ValueError: deep"])
    assert len(failure.traceback.splitlines()) == TRACEBACK_LINES
    assert failure.traceback.endswith("ValueError: deep")


def test_a_message_of_a_script_needs_no_traceback() -> None:
    failure = diagnose("AlgorithmError", ["reading data", "error: lr: -1 is not a number above 0"])
    assert failure.cause == "lr: -1 is not a number above 0"
    assert failure.traceback == ""


def test_without_a_log_sagemakers_reason_speaks() -> None:
    reason = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "disk full"\nCommand "python x.py"'
    assert diagnose(reason, []).cause == "disk full"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("AlgorithmError: ExecuteUserScriptError:\nExitCode -9", "memory"),
        ("CapacityError: Unable to provision requested ML compute capacity", "instance"),
        ("no training pictures: the job has the channels features. Pass a channel named train", "URI"),
        ("Data download failed: channel 'train': no objects found below s3://bucket/dogs", "URI"),
        ("ClientError: AccessDenied when calling PutObject", "role"),
    ],
)
def test_common_causes_come_with_a_remedy(reason: str, advice: str) -> None:
    assert advice in diagnose(reason, []).fix


def test_an_unknown_cause_is_told_without_a_guess() -> None:
    assert diagnose("Something new", []).fix == ""


def test_without_a_log_the_exception_is_found_below_its_frames() -> None:
    message = '  File "x.py", line 3, in <module>\n    main()\nValueError: no dogs\nin this folder'
    reason = f'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{message}"\nCommand "python x.py"'
    assert diagnose(reason, []).cause == "ValueError: no dogs"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("it printed 'nan' for the objective metric 'loss', which is not a finite number. Perhaps", "learning rates"),
        ("its log has no line that the Regex of the objective metric 'loss' matches", "metric definition"),
    ],
)
def test_an_objective_that_is_not_there_comes_with_a_remedy(reason: str, advice: str) -> None:
    assert advice in diagnose(reason, []).fix


# Reasons as AWS has given them, from public reports; account numbers and names are made up.
REASONS_OF_AWS = [
    (
        (
            "CapacityError: Unable to provision requested ML compute capacity due to "
            "InsufficientInstanceCapacity error. Please retry using a different ML instance type or after "
            "some time."
        ),
        "capacity",
        "choose another one",
    ),
    (
        (
            "ResourceLimitExceeded: The account-level service limit 'ml.p3.2xlarge for training job usage' is"
            " 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances."
        ),
        "quota",
        "quota 'ml.p3.2xlarge for training job usage' is 0",
    ),
    (
        (
            "ClientError: TrainingHostAgent Initialization failed:InvalidInputException: SageMaker is unable "
            "to perform: sts:AssumeRole on the role. Check if you have a trust relationship for "
            "'sagemaker.amazonaws.com'."
        ),
        "role not assumable",
        "dogbreed doctor --policy trust",
    ),
    (
        (
            "ClientError: Data download failed:User: arn:aws:sts::111122223333:assumed-role/dogs/SageMaker is"
            ' not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::my-dogs" because no '
            "identity-based policy allows the s3:ListBucket action"
        ),
        "permission",
        "s3:ListBucket on arn:aws:s3:::my-dogs ",
    ),
    (
        (
            "ClientError: Data download failed:Unable to download object s3://my-dogs/x.jpg (AccessDenied: "
            "Access Denied)"
        ),
        "permission",
        "access to the URI",
    ),
    (
        "An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",
        "permission",
        "the action that PutObject needs",
    ),
    (
        (
            "ClientError: Cannot find repository: dogs in registry ID: 111122223333 Please check if your ECR "
            "repository and image exist and role arn:aws:iam::111122223333:role/dogs has proper pull "
            "permissions for SageMaker"
        ),
        "image not found",
        "ecr:BatchGetImage",
    ),
    (
        (
            "ClientError: Data download failed:Failed to download data. S3 key: s3://b/shared//x.txt has an "
            "illegal char sub-sequence '//' in it"
        ),
        "data not found",
        "'//'",
    ),
    (
        "AlgorithmError: , exit code: 137",
        "out of memory",
        "larger instance",
    ),
    (
        ("ClientError: Please use an instance type with more memory, or reduce the size of training data processed."),
        "out of memory",
        "larger instance",
    ),
    (
        "AlgorithmError: RuntimeError: DataLoader worker (pid 42) is killed by signal: Bus error.",
        "out of memory",
        "fewer workers",
    ),
    (
        ("AlgorithmError: ConnectTimeoutError: Connect timeout on endpoint URL: https://s3.amazonaws.com/my-dogs"),
        "network",
        "gateway endpoint",
    ),
    (
        "AlgorithmError: train.py: error: unrecognized arguments: --epoch 3",
        "hyperparameter",
        "Correct the hyperparameter --epoch;",
    ),
    (
        "InternalServerError: We encountered an internal error. Please try again.",
        "service error",
        "start the job again",
    ),
    (
        "ClientError: kms:Decrypt: the ciphertext refers to a customer master key that does not exist",
        "permission",
        "kms",
    ),
]


@pytest.mark.parametrize(("reason", "kind", "advice"), REASONS_OF_AWS)
def test_aws_own_reasons_are_translated(reason: str, kind: str, advice: str) -> None:
    failure = diagnose(reason, [])
    assert (failure.kind, advice in failure.fix) == (kind, True), failure


def test_a_message_of_our_scripts_about_a_hyperparameter_names_it() -> None:
    failure = diagnose("AlgorithmError", ["reading data", "error: lr: -1 is not a number above 0"])
    assert (failure.kind, "hyperparameter lr;" in failure.fix) == ("hyperparameter", True)


def test_an_exception_about_a_value_is_no_hyperparameter() -> None:
    log = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: the width must be even"]
    assert diagnose("AlgorithmError", log).kind == "script error"


def test_the_place_in_the_script_is_named_and_not_one_in_a_package() -> None:
    log = [
        "Traceback (most recent call last):",
        '  File "/opt/ml/code/train.py", line 31, in <module>',
        "    model(pictures)",
        '  File "/opt/conda/lib/python3.12/site-packages/torch/nn/modules/module.py", line 1751, in _call_impl',
        "    return forward_call(*args, **kwargs)",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x1280 and 512x133)",
    ]
    failure = diagnose("AlgorithmError: ExecuteUserScriptError", log)
    assert (failure.location, failure.kind, failure.fix) == ("train.py:31", "script error", "")
    assert diagnose("Something new", []).location == ""


@pytest.mark.parametrize("known", KNOWN_FAILURES, ids=lambda known: known.messages[0][:40])
def test_each_known_failure_recognizes_its_own_messages(known: KnownFailure) -> None:
    """The documentation lists them, with the fix that `diagnose` gives."""
    for message in known.messages:
        failure = diagnose(message, [])
        named = [word for word in known.fix.split() if "{" not in word]
        assert failure.kind == known.kind
        assert [word for word in named if word not in failure.fix.split()] == [], message
