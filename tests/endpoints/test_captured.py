"""Reading captured data: whole records in order, whatever else lies in the folder."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from dogbreed_sdk import LabelError, LabelMap, ModelError, Session
from dogbreed_sdk.aws.storage import Storage
from dogbreed_sdk.endpoints.captured import Body, CapturedRequest, read_captured
from dogbreed_sdk.local.hosting.data_capture import Exchange, Payload

NOON = datetime.datetime(2026, 11, 30, 12, 0, 0, tzinfo=datetime.timezone.utc)
ANSWER = {
    "model_id": "m",
    "predictions": [{"scores": [{"label": "Pug", "class_folder": "002.Pug", "index": 1, "probability": 1.0}]}],
}
CONFIG = {
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
}


@pytest.fixture
def storage(session: Session) -> Storage:
    return session.storage


def captured(folder: Path, minute: int, body: bytes = b"picture", kind: str = "image/jpeg", **members: object) -> Path:
    """A file with one record, as local SageMaker writes it, which follows AWS's developer guide."""
    time = NOON + datetime.timedelta(minutes=minute)
    answer = Payload(json.dumps(ANSWER).encode(), "application/vnd.dogbreed+json")
    exchange = Exchange("dogs", "AllTraffic", Payload(body, kind), answer, inference_id=f"id-{minute}", time=time)
    path = folder / "dogs" / "AllTraffic" / f"{time:%Y/%m/%d/%H}" / f"{time:%M-%S}-000-{minute}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(exchange.line({**CONFIG, **members}))  # type: ignore[typeddict-item]
    return path


def minutes(records: list[CapturedRequest]) -> list[int]:
    return [round((record.time - NOON).total_seconds() / 60) for record in records]


def test_records_come_whole_and_in_order(storage: Storage, tmp_path: Path) -> None:
    for minute in (70, 0, 5):
        captured(tmp_path, minute)
    records = list(read_captured(storage, tmp_path.as_uri(), "dogs"))
    assert minutes(records) == [0, 5, 70]
    first = records[0]
    assert (first.inference_id, first.variant, first.picture) == ("id-0", "AllTraffic", b"picture")
    assert first.request == Body(b"picture", "image/jpeg")
    assert first.prediction().label == "Pug"
    assert first.uri.startswith(tmp_path.as_uri())


def test_a_request_of_the_second_in_which_the_time_began_is_found(storage: Storage, tmp_path: Path) -> None:
    captured(tmp_path, 0)
    found = [
        list(read_captured(storage, tmp_path.as_uri(), "dogs", since=NOON + datetime.timedelta(seconds=late)))
        for late in (0.9, 1.0)
    ]
    assert list(map(minutes, found)) == [[0], []]


def test_a_span_of_time_reads_only_its_files(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in (0, 5, 70, 500):
        captured(tmp_path, minute)
    read: list[str] = []
    read_bytes = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda uri: read.append(uri) or read_bytes(uri))
    hour = datetime.timedelta(hours=1)
    found = read_captured(storage, tmp_path.as_uri(), "dogs", since=NOON + hour / 20, until=NOON + 2 * hour)
    assert minutes(list(found)) == [5, 70]
    assert not [uri for uri in read if "/20/" in uri]


def test_what_is_not_a_captured_request_is_skipped(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = captured(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(b"\n" + whole + b"[]\n" + b'{"captureData": {}, "eventMetadata": {}}\n' + whole[:100])
    for foreign in ("_SUCCESS", "AllTraffic/2026/11/30/12/constraints.json", "AllTraffic/2026/99/99/99/x.jsonl"):
        (tmp_path / "dogs" / foreign).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dogs" / foreign).write_text("{}")
    captured(tmp_path / "dogs-2", 1)
    assert minutes(list(read_captured(storage, tmp_path.as_uri(), "dogs"))) == [0]
    [warning] = caplog.messages
    assert warning.startswith(f"Skipped 3 lines below {tmp_path.as_uri()}/dogs, not captured requests")


def test_an_endpoint_that_captured_nothing_has_no_records(storage: Storage, tmp_path: Path) -> None:
    assert list(read_captured(storage, (tmp_path / "nothing").as_uri(), "dogs")) == []


def test_half_of_a_request_says_what_it_lacks(storage: Storage, tmp_path: Path) -> None:
    captured(tmp_path, 0, CaptureOptions=[{"CaptureMode": "Input"}])
    captured(tmp_path, 1, CaptureOptions=[{"CaptureMode": "Output"}])
    captured(tmp_path, 2, body=b'{"url": "https://example.com/rex.jpg"}', kind="application/json")
    requests, responses, link = read_captured(storage, tmp_path.as_uri(), "dogs")
    with pytest.raises(ModelError, match="captures requests only"):
        requests.prediction()
    assert responses.picture is None
    assert link.picture is None
    assert link.request == Body(b'{"url": "https://example.com/rex.jpg"}', "application/json")


def test_scores_without_labels_need_the_labels(storage: Storage, tmp_path: Path) -> None:
    scores = {"model_id": "m", "predictions": [{"probabilities": [0.25, 0.75]}]}
    path = captured(tmp_path, 0)
    event = json.loads(path.read_bytes())
    event["captureData"]["endpointOutput"] |= {"encoding": "JSON", "data": json.dumps(scores)}
    path.write_text(json.dumps(event))
    [record] = read_captured(storage, tmp_path.as_uri(), "dogs")
    with pytest.raises(LabelError, match="without labels"):
        record.prediction()
    assert record.prediction(LabelMap.from_list(["Boxer", "Pug"])).label == "Pug"
