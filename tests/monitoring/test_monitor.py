"""The monitor: from captured requests of a real endpoint to the verdict, JSON, and a page that a browser shows."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk import BreedDataset, ConfigurationError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.endpoints.captured import Body, CapturedRequest
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.kinds import DataCapture
from dogbreed_sdk.monitoring import page
from dogbreed_sdk.monitoring.answers import Answer, Baseline, digest, sort_captured
from dogbreed_sdk.monitoring.report import MonitorReport, judge
from tests.browser import Page
from tests.waiting import wait_for

CLASSES = ("001.Boxer", "002.Pug")
NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


def picture(seed: int) -> bytes:
    image = Image.new("RGB", (32, 24), (seed * 7 % 256, seed * 3 % 256, 90))
    image.putpixel((0, 0), (seed % 256, seed // 256, 7))
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def request(
    number: int, boxer: float, *, model: str = "m1", content: bytes | None = None, rejected: bool | None = None
) -> CapturedRequest:
    """A captured request whose answer gives the first class this probability."""
    prediction: dict[str, object] = {"probabilities": [boxer, 1 - boxer]}
    if rejected is not None:
        prediction |= {"rejected": rejected, "rejection_score": 5.0 if rejected else 1.0}
    answer = {"model_id": model, "rejection": {"threshold": 3.0}, "predictions": [prediction]}
    return CapturedRequest(
        time=NOW + timedelta(seconds=number),
        event_id=str(number),
        inference_id=None,
        variant="AllTraffic",
        request=Body(picture(number) if content is None else content, "image/png"),
        response=Body(json.dumps(answer).encode(), "application/json"),
        uri="file:///x.jsonl",
    )


def baseline(count: int = 200) -> Baseline:
    """Half Boxer, half Pug, of which the model is fairly sure."""
    generator = random.Random(1)
    answers = tuple(Answer(CLASSES[number % 2], generator.uniform(0.6, 1.0)) for number in range(count))
    return Baseline(CLASSES, answers, "m1", frozenset({digest(picture(9999))}))


def report(requests: list[CapturedRequest], base: Baseline | None = None, *, alpha: float = 0.01) -> MonitorReport:
    base = base or baseline()
    captured = sort_captured(requests, base, kept_pictures=12)
    return judge("dogs", base, captured, since=NOW, until=NOW + timedelta(days=1), alpha=alpha)


def traffic(
    count: int, *, boxers: float, sure: tuple[float, float] = (0.6, 1.0), seed: int = 2
) -> list[CapturedRequest]:
    generator = random.Random(seed)
    made = []
    for number in range(count):
        confidence = generator.uniform(*sure)
        made.append(request(number, confidence if generator.random() < boxers else 1 - confidence))
    return made


def test_requests_that_do_not_count_are_left_out() -> None:
    unreadable = request(5, 0.9)
    unreadable = CapturedRequest(unreadable.time, "5", None, "v", unreadable.request, None, "file:///x")
    found = sort_captured(
        [
            request(1, 0.9),
            request(2, 0.8, content=picture(1)),  # the same picture again
            request(3, 0.9, content=picture(9999)),  # a picture of the validation split
            request(4, 0.9, model="m2"),
            unreadable,
            request(6, 0.2),
        ],
        baseline(),
        kept_pictures=1,
    )
    assert (found.repeated, found.validation, found.other_models, found.unreadable) == (1, 1, 1, 1)
    assert [seen.answer.class_folder for seen in found.seen] == ["001.Boxer", "002.Pug"]
    assert [seen.picture is not None for seen in found.seen] == [False, True], "the stranger one keeps its picture"


def test_the_same_mix_is_no_shift_and_another_is_one() -> None:
    same = report(traffic(200, boxers=0.5))
    assert same.verdict == "no shift"
    assert page.headline(same) == "The answers have not moved by more than chance."
    moved = report(traffic(200, boxers=0.9))
    assert moved.verdict == "shift"
    assert page.headline(moved) == "The mix of answers has moved by more than chance."
    assert {test.question: test.is_shift for test in moved.tests} == {"mix": True, "confidence": False}
    mix = moved.tests[0]
    assert mix.effect == pytest.approx(0.4, abs=0.1)
    assert mix.by_chance < 0.2
    assert moved.classes[0].change == pytest.approx(mix.effect)
    unsure = report(traffic(200, boxers=0.5, sure=(0.5, 0.7)))
    assert page.headline(unsure) == "The confidence has moved by more than chance."


def test_rejections_are_compared_where_the_model_rejects() -> None:
    generator = random.Random(3)
    answers = tuple(Answer(CLASSES[n % 2], generator.uniform(0.6, 1.0), n % 50 == 0, 1.0) for n in range(200))
    base = Baseline(CLASSES, answers, "m1")
    requests = [request(n, 0.9 if n % 2 else 0.1, rejected=n % 4 == 0) for n in range(100)]
    found = report(requests, base)
    assert found.rejection_rates() == (0.02, 0.25)
    assert {test.question for test in found.tests if test.is_shift} >= {"rejections"}
    assert [seen.answer.rejected for seen in found.unusual] == [True] * 12


def test_few_answers_are_said_to_be_few() -> None:
    few = report(traffic(29, boxers=1.0))
    assert (few.verdict, few.tests) == ("too few answers", ())
    assert page.headline(few) == "Too few to tell a shift from chance: 29 captured answers count, and 30 are needed."
    small = report(traffic(60, boxers=1.0), baseline(12))
    assert (small.verdict, small.tests) == ("too few baseline pictures", ())
    assert "12 pictures are in the baseline, and 30 are needed." in page.headline(small)
    assert "12 pictures are in the baseline, and 30 are needed." in page.document(small).decode()
    none = report([])
    assert none.verdict == "too few answers"
    assert b"No captured answers count." in page.document(none)


def test_a_shift_has_a_direction_a_scale_and_advice_that_can_be_followed() -> None:
    requests = traffic(200, boxers=0.5, sure=(0.5, 0.6))
    found = report(requests)
    confidence = next(test for test in found.tests if test.question == "confidence")
    assert confidence.change == pytest.approx(-0.25, abs=0.03)
    assert page.direction(confidence).startswith("the average confidence fell by 2")
    written = page.document(found).decode()
    assert "The average confidence fell by" in written
    assert "Look at the unusual pictures below" in written
    assert "A full bar is 100" in written
    unusual = found.to_dict()["unusual"]
    assert isinstance(unusual, list)
    assert unusual[0]["capture_uri"] == "file:///x.jsonl"
    without = report([replace(each, request=None) for each in requests])
    assert "Look at the unusual pictures below" not in page.document(without).decode()
    assert "The pictures were not captured" in page.document(without).decode()


def test_a_baseline_is_kept_in_a_file(tmp_path: Path) -> None:
    base, path = baseline(40), tmp_path / "baseline.json"
    base.save(path)
    assert Baseline.load(path) == base
    for content in ("{}", "[]", "no JSON", '{"format": "other", "version": 1}'):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match="is not a baseline"):
            Baseline.load(path)


def test_the_page_shows_no_byte_of_what_clients_sent() -> None:
    hostile = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    requests = [request(0, 0.5, content=hostile), *traffic(60, boxers=0.5)[1:]]
    written = page.document(report(requests)).decode()
    assert "cannot be shown" in written
    assert "onload" not in written
    assert written.count("data:image/jpeg;base64,") == 11
    assert "img-src data:" in written
    assert "script-src 'sha256-" in written


def test_a_baseline_is_short_in_a_console() -> None:
    assert repr(baseline()) == "Baseline(answers=200, classes=2, model_id='m1')"


def test_the_page_is_written_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    made = report(traffic(60, boxers=0.5))
    assert str(made) == made.to_text()
    assert made.to_text().startswith(page.headline(made))
    assert made.to_html(tmp_path) == tmp_path / "monitor.html"
    assert made.to_html(tmp_path / "m.html").read_bytes() == page.document(made)


@pytest.mark.slow
def test_a_browser_shows_the_page_without_a_complaint(browser: Page, tmp_path: Path) -> None:
    path = report(traffic(200, boxers=0.8, sure=(0.5, 0.9))).to_html(tmp_path)
    browser.open(path.as_uri())
    assert browser.value("document.querySelectorAll('.pictures img').length") == 12
    assert browser.value("[...document.images].every((image) => image.naturalWidth > 0)") is True
    assert browser.complaints == []


CODE = """
import hashlib, json
def model_fn(folder): return None
def input_fn(body, content_type): return bytes(body)
def predict_fn(body, model):
    # Red pictures are boxers, all others pugs.
    from io import BytesIO
    from PIL import Image
    with Image.open(BytesIO(body)) as image:
        red, _, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
    boxer = 0.9 if red > blue else 0.1
    ranked = [("001.Boxer", boxer, 0), ("002.Pug", 1 - boxer, 1)]
    ranked.sort(key=lambda each: -each[1])
    return [{"label": name[4:], "class_folder": name, "index": index, "probability": p} for name, p, index in ranked]
def output_fn(scores, accept):
    document = {"model_id": "m1", "predictions": [{"scores": scores}]}
    return json.dumps(document), "application/vnd.dogbreed+json"
"""


def colored(red: bool, number: int) -> Image.Image:
    shade = 60 + number % 150
    return Image.new("RGB", (16 + number // 150, 16), (shade, 0, 20) if red else (20, 0, shade))


@pytest.fixture
def data_set(tmp_path: Path) -> BreedDataset:
    for split in ("train", "valid"):
        for red, name in ((True, "001.Boxer"), (False, "002.Pug")):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(16):
                colored(red, 100 + number).save(folder / f"{number}.png")
    return BreedDataset.from_folder(tmp_path / "data")


@pytest.mark.slow
@pytest.mark.extras
def test_from_captured_requests_to_the_verdict(
    session: Session,
    tmp_path: Path,
    data_set: BreedDataset,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tests.endpoints.small_models import model  # noqa: PLC0415

    capture = DataCapture(uri=(tmp_path / "captured").as_uri())
    uri, root = model(tmp_path, "boxers-and-pugs", code=CODE), ["--root", str(tmp_path / "root")]
    with deploy(uri, session=session, endpoint_name="dogs", data_capture=capture, progress=no_progress) as deployment:
        kept = tmp_path / "baseline.json"
        arguments = ["monitor", "dogs", "--json", *root]
        assert main([*arguments, "--data", str(data_set.root), "--save-baseline", str(kept)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["verdict"], document["baseline_answers"]) == ("too few answers", 32)

        with deployment.classifier() as classifier:
            list(classifier.classify_many([colored(True, number) for number in range(60)]))

        def counted() -> int:
            return len(list(deployment.captured(since="1h")))

        wait_for(lambda: counted() >= 60 + 32, state=counted)
        output = tmp_path / "monitor.html"
        assert main([*arguments, "--baseline", str(kept), "--html", str(output)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["verdict"] == "shift"
        assert document["answers"] == 60
        assert document["left_out"]["validation"] >= 32
        assert document["classes"][0]["now"] in (0.0, 1.0)
        assert b"The mix of answers" in output.read_bytes()
        assert main(["monitor", "dogs", *root, "--baseline", str(kept)]) == 0
        said = capsys.readouterr().out
        assert "captured requests count, compared with 32 baseline pictures" in said
        assert "(pictures of the validation split itself)" in said
        assert "moved by more than chance" in said


@pytest.mark.parametrize("arguments", [[], ["--data", ".", "--baseline", "b.json"]])
def test_one_thing_to_compare_with_is_needed(
    arguments: list[str], capsys: pytest.CaptureFixture[str], recwarn: Callable[..., object]
) -> None:
    assert main(["monitor", "dogs", *arguments]) != 0
    assert "Pass --data DIR, or --baseline FILE" in capsys.readouterr().err
