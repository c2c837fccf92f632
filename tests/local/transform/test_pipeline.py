"""The pipeline of a transform job, against a real model server: splitting, order, retries, filters, failures."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.transform.data_processing import DataProcessing
from dogbreed_sdk.local.transform.request import TransformRequest
from tests.local.transform.conftest import Transform, create_request

CSV = {"ContentType": "text/csv", "Accept": "text/csv", "SplitType": "Line", "AssembleWith": "Line"}
JSON_LINES = {**CSV, "ContentType": "application/jsonlines", "Accept": "application/jsonlines"}
SINGLE = {"BatchStrategy": "SingleRecord"}


def test_each_object_gives_an_output_with_its_name(transformed: Transform) -> None:
    files = {f"{folder}p{number}.jpg": b"%d" % number for folder in ("", "more/deep/") for number in range(20)}
    for concurrency in (1, 8):
        result = transformed(files, concurrency, ContentType="image/jpeg")
        assert result.outputs == {f"{name}.out": b"image/jpeg " + content for name, content in files.items()}
        assert (result.progress.done, result.progress.failed) == (40, 0)


def test_without_a_split_the_object_is_sent_as_it_is(transformed: Transform) -> None:
    assert transformed({"a": b"1\r\n\n2\n", "b": b""}, ContentType="x/y").outputs == {
        "a.out": b"x/y 1\r\n\n2\n",
        "b.out": b"x/y ",
    }


@pytest.mark.parametrize("concurrency", [1, 4])
def test_lines_are_records_and_their_results_keep_the_order(transformed: Transform, concurrency: int) -> None:
    rows = b"".join(b"%d,1\n" % number for number in range(30))
    for strategy in ({}, SINGLE):
        result = transformed({"rows.csv": rows}, concurrency, **CSV, **strategy)
        assert result.outputs == {"rows.csv.out": b"".join(b"%d.0\n" % (number + 1) for number in range(30))}


def test_a_slow_request_holds_back_those_after_it_but_not_their_work(transformed: Transform) -> None:
    lines = b"slow\n" + b"quick\n" * 60
    result = transformed({"a.txt": lines, "b.txt": b"quick"}, 3, ContentType="t", SplitType="Line", **SINGLE)
    assert result.outputs == {"a.txt.out": b"t slow" + b"t quick" * 60, "b.txt.out": b"t quick"}


def test_records_are_sent_without_their_line_ends(transformed: Transform) -> None:
    settings = {"ContentType": "t", "SplitType": "Line"}
    assert transformed({"a": b"1\r\n2\n3"}, **settings).outputs["a.out"] == b"t 1\n2\n3"
    assert transformed({"a": b"1\r\n2\n3"}, **settings, **SINGLE).outputs["a.out"] == b"t 1t 2t 3"
    assert transformed({"a": b"1\n2\n"}, **settings, **SINGLE, AssembleWith="Line").outputs["a.out"] == b"t 1\nt 2\n"
    ended = transformed({"a": b"1\n2"}, **settings, **SINGLE, AssembleWith="Line", Accept="text/with-newline")
    assert ended.outputs["a.out"] == b"t 1\nt 2\n"
    assert transformed({"a": b""}, **settings).outputs["a.out"] == b""


def test_as_many_records_as_fit_are_sent_together(transformed: Transform) -> None:
    record = b"x" * 400_000
    result = transformed({"a": b"\n".join([record] * 5)}, ContentType="t", SplitType="Line", MaxPayloadInMB=1)
    sizes = [len(part) for part in result.outputs["a.out"].split(b"t ")[1:]]
    assert sizes == [800_001, 800_001, 400_000]
    whole = transformed({"a": b"\n".join([record] * 5)}, ContentType="t", SplitType="Line", MaxPayloadInMB=0)
    assert len(whole.outputs["a.out"]) == len("t ") + 2_000_004


def test_a_payload_may_be_larger_than_a_real_time_request(transformed: Transform) -> None:
    content = b"x" * (30 << 20)
    assert transformed({"a": content}, ContentType="t", MaxPayloadInMB=40).outputs == {"a.out": b"t " + content}


@pytest.mark.parametrize("split", ["None", "Line"])
def test_a_record_that_is_too_large_fails_its_object(transformed: Transform, split: str) -> None:
    fits, larger = b"x" * (1 << 20), b"x" * ((1 << 20) + 1)
    result = transformed({"fits": fits, "larger": larger}, ContentType="t", SplitType=split, MaxPayloadInMB=1)
    assert set(result.outputs) == {"fits.out"}
    assert result.failure.startswith("ClientError: Too much data for max payload size")


def test_compressed_objects_are_decompressed(transformed: Transform) -> None:
    good = gzip.compress(b"1,2\n3,4\n")
    files = {"a.csv.gz": good, "cut.gz": good[:-9], "plain.gz": b"1,2\n", "damaged.gz": good[:12] + b"\xff" + good[13:]}
    result = transformed(files, **CSV, CompressionType="Gzip")
    assert result.outputs == {"a.csv.gz.out": b"3.0\n7.0\n"}
    assert result.progress.failed == 3
    assert result.failure.startswith("ClientError: The object can't be read")


def test_an_object_that_fails_leaves_no_output_and_the_others_are_transformed(transformed: Transform) -> None:
    files = {"a": b"good", "b": b"good\nrefuse\ngood", "c": b"good\nfail", "d": b"good"}
    settings = {"ModelClientConfig": {"InvocationsMaxRetries": 0}, "ContentType": "t", "SplitType": "Line"}
    result = transformed(files, 2, **settings, **SINGLE)
    assert set(result.outputs) == {"a.out", "d.out"}
    assert (result.progress.done, result.progress.failed) == (2, 2)
    names = {line.partition(": ")[0].rpartition("/")[2]: line for line in result.lines}
    assert set(names) == {"b", "c"}
    said = [line.partition(": ")[2] for line in result.lines if line.partition(": ")[0].endswith("/b")]
    assert said == ["ClientError: 422", "", "Message:", "no dog in refuse"]
    said = [line.partition(": ")[2] for line in result.lines if line.partition(": ")[0].endswith("/c")]
    assert said == ["Bad HTTP status received from algorithm: 500", "", "Message:", "ValueError: never works"]


def test_requests_that_fail_are_retried_unless_the_model_refuses_them(transformed: Transform) -> None:
    assert transformed({"a": b"flaky one"}, ContentType="t").outputs == {"a.out": b"t flaky one"}
    no_retries = {"ModelClientConfig": {"InvocationsMaxRetries": 0}}
    result = transformed({"a": b"flaky two"}, ContentType="t", **no_retries)
    assert result.failure == "AlgorithmError: Bad HTTP status received from algorithm: 500: ValueError: only once"
    assert transformed({"a": b"refuse once"}, ContentType="t").failure.startswith("ClientError: ClientError: 422")


def test_a_model_that_takes_too_long_fails_the_object(
    transformed: Transform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 1}
    read = TransformRequest.read

    def impatient(request: object) -> TransformRequest:
        found = read(request)  # type: ignore[arg-type]
        object.__setattr__(found, "timeout_seconds", 0.1)
        return found

    monkeypatch.setattr(TransformRequest, "read", impatient)
    result = transformed({"a": f"until {tmp_path}/go".encode()}, ContentType="t", ModelClientConfig=config)
    (tmp_path / "go").touch()
    assert result.failure == ("AlgorithmError: Model server did not respond to /invocations request within 0.1 seconds")


def test_an_output_that_can_not_be_written_is_named(transformed: Transform, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = {"S3OutputPath": (tmp_path / "file/below").as_uri()}
    with pytest.raises(ConfigurationError, match=r"file/below/a\.out can't be written"):
        transformed({"a": b"1"}, TransformOutput=output)


class TestDataProcessing:
    def test_csv_columns_are_left_out_joined_and_chosen(self, transformed: Transform) -> None:
        files = {"a.csv": b'id 1,1,2\n"id, 2",3,4.50\n'}
        processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
        for strategy in ({}, SINGLE):
            result = transformed(files, **CSV, **strategy, DataProcessing=processing)
            assert result.outputs == {"a.csv.out": b'id 1,3.0\n"id, 2",7.5\n'}
        joined = {"InputFilter": "$[1:]", "JoinSource": "Input"}
        result = transformed(files, **CSV, DataProcessing=joined)
        assert result.outputs == {"a.csv.out": b'id 1,1,2,3.0\n"id, 2",3,4.50,7.5\n'}

    def test_json_objects_get_the_result_beside_their_members(self, transformed: Transform) -> None:
        files = {"a.jsonl": b'{"id": 1, "x": {"b": 0, "a": 0}}\n{"id": 2, "x": {}}\n'}
        processing = {"InputFilter": "$.x", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
        for strategy in ({}, SINGLE):
            result = transformed(files, **JSON_LINES, **strategy, DataProcessing=processing)
            assert result.outputs["a.jsonl.out"].splitlines() == [
                b'{"id":1,"SageMakerOutput":{"keys":["a","b"]}}',
                b'{"id":2,"SageMakerOutput":{"keys":[]}}',
            ]

    def test_json_that_is_no_object_becomes_one(self, transformed: Transform) -> None:
        result = transformed({"a": b'["b", "a"]'}, **JSON_LINES, DataProcessing={"JoinSource": "Input"})
        assert result.outputs["a.out"] == b'{"SageMakerInput":["b","a"],"SageMakerOutput":{"keys":["a","b"]}}\n'

    def test_a_json_document_may_have_several_lines(self) -> None:
        members = {"ContentType": "application/json", "Accept": "application/json"}
        processing = DataProcessing.read(
            create_request(Path("/in"), Path("/out"), **members, DataProcessing={"JoinSource": "Input"})
        )
        joined = processing.output([b'{\n "id": 7\n}'], b'{\n "label": "Beagle"\n}')
        assert joined == b'{"id":7,"SageMakerOutput":{"label":"Beagle"}}'

    def test_results_that_do_not_match_the_records_fail_the_object(self, transformed: Transform) -> None:
        result = transformed({"a": b"short,1\n1,2"}, **CSV, DataProcessing={"JoinSource": "Input"})
        assert result.failure == (
            "ClientError: Fail to join data: mismatched line count between the input and the output "
            "(2 records, 1 results)."
        )
        plain = {**CSV, "ContentType": "application/json", "Accept": "application/json"}
        result = transformed({"a": b"[1]\n[2]"}, **plain, DataProcessing={"JoinSource": "Input"})
        assert result.failure.startswith("ClientError: Unable to decode payload")  # the model answers with text
        processing = {"InputFilter": "$[5]", "JoinSource": "Input"}
        result = transformed({"a": b"1,2"}, **CSV, DataProcessing=processing)
        assert result.failure == "ClientError: The JSONPath $[5] selects element 5 of 2."

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"ContentType": "image/jpeg"}, "needs TransformInput's ContentType"),
            ({"Accept": "text/plain"}, "needs TransformOutput's Accept"),
            ({"ContentType": "application/json"}, "set ContentType and Accept to one format"),
            ({"SplitType": "None"}, "needs SplitType and AssembleWith to be Line"),
            ({"AssembleWith": "None"}, "needs SplitType and AssembleWith to be Line"),
            ({"DataProcessing": {"InputFilter": "$.x"}}, "columns and no names"),
            ({"DataProcessing": {"OutputFilter": "$..x"}}, "is not supported"),
        ],
    )
    def test_a_request_that_can_not_work_is_refused(self, changes: dict[str, str], problem: str) -> None:
        members = {**CSV, "DataProcessing": {"JoinSource": "Input"}, **changes}
        with pytest.raises(ConfigurationError, match=problem):
            TransformRequest.read(create_request(Path("/in"), Path("/out"), **members))


def test_settings_have_awss_defaults() -> None:
    request = TransformRequest.read(create_request(Path("/in"), Path("/out")))
    assert (request.payload_bytes, request.concurrency, request.timeout_seconds, request.retries) == (
        6 << 20,
        None,
        600,
        3,
    )
    assert (request.splits, request.groups, request.adds_newline, request.headers) == (False, True, False, {})


@pytest.mark.parametrize(
    ("members", "recommended", "concurrency"),
    [
        ({}, None, 1),
        ({}, 16, 16),
        ({"MaxConcurrentTransforms": 0}, 16, 16),
        ({"MaxConcurrentTransforms": 4}, 16, 4),
        ({"MaxConcurrentTransforms": 100, "MaxPayloadInMB": 1}, 16, 64),
        ({"MaxPayloadInMB": 20}, 16, 5),
        ({"MaxPayloadInMB": 0}, 16, 1),
    ],
)
def test_the_model_recommends_how_many_requests_are_sent(
    members: dict[str, int], recommended: int | None, concurrency: int
) -> None:
    request = TransformRequest.read(create_request(Path("/in"), Path("/out"), **members))
    assert request.concurrency_for({"MaxConcurrentTransforms": recommended} if recommended else {}) == concurrency


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"MaxPayloadInMB": 101}, "at most 100"),
        ({"MaxPayloadInMB": 30, "MaxConcurrentTransforms": 4}, "at most 100"),
        ({"S3Uri": "https://bucket/key"}, "s3:// and file:// URIs"),
    ],
)
def test_limits_are_awss(members: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TransformRequest.read(create_request(Path("/in"), Path("/out"), **members))
