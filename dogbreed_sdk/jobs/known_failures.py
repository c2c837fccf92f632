"""The failures of jobs that are recognized by their words, each with its cause and what to do.

`failures.diagnose` reads this list, and so does the documentation: to teach both another failure, add an entry. A test
checks that each entry recognizes its own messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FailureKind = Literal[
    "package missing",
    "disk full",
    "out of memory",
    "not a number",
    "metric missing",
    "role not assumable",
    "image not found",
    "permission",
    "data not found",
    "capacity",
    "quota",
    "network",
    "hyperparameter",
    "service error",
    "script error",
    "unknown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """A failure that is recognized.

    Attributes:
        kind: What kind of failure it is.
        messages: Messages as jobs and SageMaker print them; the first is the one that people search for.
        pattern: The regular expression that recognizes it, in any case, in the end of the log and in the reason.
        cause: What happened, in a sentence or two.
        fix: What to do; ``{0}`` and ``{1}`` are the pattern's groups that matched.
    """

    kind: FailureKind
    messages: tuple[str, ...]
    pattern: str
    cause: str
    fix: str


_GRANT_CALL = (
    "Grant the job's role the action that {0} needs (dogbreed doctor --policy role prints a policy with all of them)."
)
# The first match wins: what names a cause exactly is above what it may be a part of. The words of AWS are those of
# published failure reasons; they are not documented, so what does not match stays as it is.
KNOWN_FAILURES: tuple[KnownFailure, ...] = (
    KnownFailure(
        kind="package missing",
        messages=("ModuleNotFoundError: No module named 'timm'",),
        pattern=r"ModuleNotFoundError: No module named '?([\w.]+)",
        cause="The script imports a package that is not installed where it runs. Jobs on AWS run in AWS's image, not "
        "in your environment.",
        fix="Install the package {0!r} where the job runs: for local SageMaker in this environment, for AWS through "
        "training_scripts/requirements.txt.",
    ),
    KnownFailure(
        kind="disk full",
        messages=("OSError: [Errno 28] No space left on device", "insufficient disk space", "not enough space"),
        pattern=r"No space left on device|Errno 28|insufficient (?:disk|storage) space|not enough (?:disk )?space",
        cause="The volume of the job, or the disk of this machine, is full: with pictures, stored features, "
        "checkpoints or recordings.",
        fix="Free disk space, or use a larger volume (volume_size_gb on AWS, another --root locally).",
    ),
    KnownFailure(
        kind="out of memory",
        messages=(
            "RuntimeError: DataLoader worker (pid 42) is killed by signal: Bus error.",
            "insufficient shared memory (shm)",
        ),
        pattern=r"DataLoader worker .* (?:bus error|killed by signal: (?:Bus error|Killed))|insufficient shared memory",
        cause="The processes that read pictures hand them over in shared memory, and there was not enough of it.",
        fix="The workers that read pictures ran out of memory: use fewer workers or a larger instance.",
    ),
    KnownFailure(
        kind="out of memory",
        messages=(
            "torch.OutOfMemoryError: CUDA out of memory.",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "DefaultCPUAllocator: can't allocate memory",
        ),
        pattern=r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|can't allocate memory",
        cause="Activations and gradients of a batch do not fit into the memory of the GPU, or of the machine.",
        fix="Halve batch-size, unfreeze fewer blocks, or use a larger instance.",
    ),
    KnownFailure(
        kind="out of memory",
        messages=(
            "AlgorithmError: , exit code: 137",
            "exited with code -9",
            "SIGKILL",
            "MemoryError",
            "Cannot allocate memory",
            "ClientError: Please use an instance type with more memory",
        ),
        pattern=r"exit(?:ed with)? code:? -?(?:9|137)\b|ExitCode:? -?(?:9|137)\b|SIGKILL|MemoryError|"
        r"Cannot allocate memory|use an instance type with more memory",
        cause="The system killed the process (137 is 128 plus signal 9), or Python could not get memory.",
        fix="The process was killed, usually because it ran out of memory: halve batch-size or use a larger instance.",
    ),
    KnownFailure(
        kind="not a number",
        messages=("it printed 'nan' for the objective metric 'valid:loss', which is not a finite number",),
        pattern=r"for the objective metric .* is not a finite number",
        cause="The loss became NaN or infinite, nearly always because the learning rate was too high for this trial.",
        fix="Search lower learning rates, and find the epoch in which the loss grew in the trial's log.",
    ),
    KnownFailure(
        kind="metric missing",
        messages=(
            "No objective metrics found after running 5 training jobs.",
            "its log has no line that the Regex of the objective metric 'valid:loss' matches",
            "could not find any of the metrics",
            "did not emit the objective metric",
        ),
        pattern=r"not find any of .*metric|no objective metric|did not emit|Regex of the objective metric",
        cause="A search reads its objective from the log by the regular expression of a metric definition, and no line "
        "of the log matched.",
        fix="Print the objective metric in a format that its metric definition matches.",
    ),
    KnownFailure(
        kind="role not assumable",
        messages=(
            "InvalidInputException: SageMaker is unable to perform: sts:AssumeRole on the role",
            "Check if you have a trust relationship for 'sagemaker.amazonaws.com'",
        ),
        pattern=r"sts:AssumeRole|trust relationship",
        cause="The role exists, but its trust policy does not allow SageMaker to assume it.",
        fix="Set the role's trust policy to the one that 'dogbreed doctor --policy trust' prints.",
    ),
    KnownFailure(
        kind="image not found",
        messages=(
            "ClientError: Cannot find repository: dogs in registry ID: 111122223333",
            "CannotPullContainerError",
            "manifest unknown",
            "the image dogs:1 does not exist",
            "ImagePullBackOff",
        ),
        pattern=r"Cannot find (?:repository|image|requested image)|CannotPullContainer|manifest unknown|"
        r"(?:image|repository) .*does not exist|ImagePull",
        cause="SageMaker could not load the container's image: it is in another region, does not exist, or the role "
        "may not pull it.",
        fix="Check that the image exists in the job's region and that the role may pull it (ecr:BatchGetImage).",
    ),
    KnownFailure(
        kind="permission",
        messages=(
            "is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::my-dogs because no policy allows it",
            "User: arn:aws:sts::111122223333:assumed-role/dogs/SageMaker is not authorized to perform: s3:ListBucket",
        ),
        pattern=r"not authorized to perform:? ([\w-]+:\w+)"
        r"(?: on (?:the )?resource:? (\S+?))?(?: because|[.,]?\s|[.,]?$)",
        cause="The role that the job assumes lacks a permission; your own permissions do not matter while it runs.",
        fix="Grant the job's role {0} on {1} (dogbreed doctor --policy role prints a policy with all that it needs).",
    ),
    KnownFailure(
        kind="permission",
        messages=("An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",),
        pattern=r"\((?:403|AccessDenied\w*)\) when calling the (\w+) operation",
        cause="The script called AWS with the job's role, which lacks the permission.",
        fix=_GRANT_CALL,
    ),
    KnownFailure(
        kind="permission",
        messages=("AccessDenied when calling the GetObject",),
        pattern=r"AccessDenied when calling (?:the )?(\w+)",
        cause="The script called AWS with the job's role, which lacks the permission.",
        fix=_GRANT_CALL,
    ),
    KnownFailure(
        kind="permission",
        messages=("KMSAccessDeniedException", "kms:Decrypt", "the ciphertext refers to a customer master key"),
        pattern=r"KMS\w*Exception|kms:\w+|customer master key",
        cause="Data, results or the volume are encrypted with a KMS key that the job's role may not use.",
        fix="Grant the job's role kms:Decrypt and kms:GenerateDataKey on the key, also in the key's own policy.",
    ),
    KnownFailure(
        kind="permission",
        messages=("Unable to download object s3://my-dogs/x.jpg (AccessDenied: Access Denied)", "AccessDenied"),
        pattern=r"AccessDenied|Access Denied|not authorized to perform",
        cause="The job's role may not read or write an object, and the message does not name the missing action.",
        fix="Grant the job's role access to the URI named above, also in the policies of its bucket and of its KMS "
        "key.",
    ),
    KnownFailure(
        kind="data not found",
        messages=("S3 key: s3://b/shared//x.txt has an illegal char sub-sequence '//' in it",),
        pattern=r"illegal char sub-sequence",
        cause="A key with an empty part, which comes from a prefix that ends in a slash, joined with another one.",
        fix="Use a bucket prefix without empty parts: SageMaker does not read keys that contain '//'.",
    ),
    KnownFailure(
        kind="network",
        messages=(
            "ConnectTimeoutError: Connect timeout on endpoint URL",
            "Could not connect to the endpoint URL",
            "Temporary failure in name resolution",
            "Network is unreachable",
        ),
        pattern=r"connect timeout on endpoint|Could not connect to the endpoint URL|ConnectTimeoutError|"
        r"(?:Temporary failure in|Failed to resolve|name) (?:name )?resolution|Network is unreachable",
        cause="The job tried to reach S3, another AWS service or the web (usually to download weights) from a network "
        "that has no way there.",
        fix="The job has no way to that address: in a VPC, add a gateway endpoint for S3 and a NAT gateway for the "
        "rest; with network isolation, use packaged weights.",
    ),
    KnownFailure(
        kind="data not found",
        messages=(
            "ClientError: Data download failed",
            "No S3 objects found under S3 URL",
            "NoSuchBucket",
            "NoSuchKey",
            "FileNotFoundError: [Errno 2] No such file or directory",
            "the job has no channel train",
            "does not exist",
        ),
        pattern=r"the job has (?:no channel|the channels)|Data download failed|No S3 objects found|NoSuchKey|"
        r"NoSuchBucket|no such (?:file or directory|folder)|does not exist",
        cause="The data was moved or deleted, its URI has a typing error, or the script expects another channel than "
        "the job has.",
        fix="Check that the data set's folder still exists and that its URI is correct.",
    ),
    KnownFailure(
        kind="capacity",
        messages=(
            "CapacityError: Unable to provision requested ML compute capacity",
            "InsufficientInstanceCapacity",
        ),
        pattern=r"InsufficientCapacity|InsufficientInstanceCapacity|CapacityError|"
        r"Unable to provision requested ML compute",
        cause="AWS has no free instance of this type in the region. It is not a quota, and costs nothing.",
        fix="AWS has no free capacity for this instance type: try again later or choose another one.",
    ),
    KnownFailure(
        kind="quota",
        messages=("The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances",),
        pattern=r"service limit '([^']+)' is ([\d.]+)",
        cause="The account may not run that many instances of the type; new accounts have 0 of most GPU types.",
        fix="The account's quota {0!r} is {1}: request an increase under Service Quotas, Amazon SageMaker, or choose "
        "another instance type.",
    ),
    KnownFailure(
        kind="quota",
        messages=("ResourceLimitExceeded",),
        pattern=r"ResourceLimitExceeded",
        cause="A quota of the account is exhausted, and the message does not name it.",
        fix="Request an increase under Service Quotas, Amazon SageMaker, or choose another instance type.",
    ),
    KnownFailure(
        kind="hyperparameter",
        messages=(
            "train.py: error: unrecognized arguments: --epoch 3",
            "error: argument --lr: invalid float value: 'fast'",
            "error: lr: -1 is not a number above 0",
        ),
        pattern=r"unrecognized arguments: (\S+)|error: argument (\S+?):|error: ([\w-]+): .* (?:is not|must be) ",
        cause="The script does not know the hyperparameter, or does not accept its value. Every hyperparameter reaches "
        "a script as an argument on its command line.",
        fix="Correct the hyperparameter {0}; 'dogbreed train --help' lists them with what they accept.",
    ),
    KnownFailure(
        kind="service error",
        messages=(
            "InternalServerError: We encountered an internal error. Please try again.",
            "ServiceUnavailable",
        ),
        pattern=r"InternalServerError|internal error\. Please try again|ServiceUnavailable",
        cause="SageMaker itself failed. Nothing is wrong with the job.",
        fix="The failure is SageMaker's own: start the job again.",
    ),
)
