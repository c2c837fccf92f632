"""Serving: every content type of the contract is answered, and a client's fault is the client's."""

from __future__ import annotations

import dataclasses
import http.server
import io
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training_scripts.small_datasets import CLASSES
from training_scripts import inference
from training_scripts.data import formats, preprocessing
from training_scripts.inference import (
    Prediction,
    RequestError,
    input_fn,
    model_fn,
    output_fn,
    predict_batch_fn,
    predict_fn,
)
from training_scripts.models.model import Model, load

RANKED = "application/vnd.dogbreed+json"
SCORES = "application/vnd.dogbreed.scores+json"


@pytest.fixture(scope="module")
def model(written_bundle: Path) -> Model:
    return model_fn(str(written_bundle))


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((300, 240)).convert("RGB")


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, form, lossless=True)
    return buffer.getvalue()


def answer(model: Model, body: bytes | str, content_type: str, accept: str | None = None) -> object:
    text, _ = output_fn(predict_fn(input_fn(body, content_type), model), accept)
    return json.loads(text)


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        *(("PNG", name) for name in sorted(formats.PICTURE_CONTENT_TYPES - {"image/png"})),
        ("PNG", "IMAGE/PNG; charset=binary"),
    ],
)
def test_the_bytes_decide_what_a_picture_is_and_the_same_picture_gets_the_same_scores(
    model: Model, form: str, content_type: str
) -> None:
    with torch.inference_mode():
        expected = model(preprocessing.to_tensor(picture(), model.preprocessing)[None]).tolist()
    assert answer(model, encoded(form), content_type) == expected


def test_a_jpeg_is_answered_with_one_row_of_logits(model: Model) -> None:
    rows = answer(model, encoded("JPEG"), "image/jpeg")
    assert isinstance(rows, list)
    assert [len(row) for row in rows] == [3]


def test_a_preprocessed_tensor_gets_the_scores_of_its_picture(model: Model) -> None:
    tensor = preprocessing.to_tensor(picture(), model.preprocessing)
    of_the_picture = answer(model, encoded("PNG"), "image/png")
    assert answer(model, json.dumps(tensor.tolist()), "application/json") == of_the_picture
    several = answer(model, json.dumps([tensor.tolist()] * 2).encode(), "application/json")
    assert isinstance(several, list)
    assert len(several) == 2
    assert several[0] == pytest.approx(several[1], abs=1e-5)


@pytest.mark.parametrize("highest", [255.0, 5.0])
def test_pixels_that_nobody_preprocessed_are_refused_with_what_to_send(model: Model, highest: float) -> None:
    pixels = torch.linspace(0, highest, 3 * 64 * 64).reshape(3, 64, 64)
    tensor = input_fn(json.dumps(pixels.tolist()), "application/json")
    good = input_fn(encoded("PNG"), "image/png")
    with pytest.raises(RequestError, match=rf"range from 0 to {highest:g}, .* range from -0\.992 to 1: send") as caught:
        predict_fn(tensor, model)
    assert caught.value.status_code == 400
    assert "mean [0.498, 0.498, 0.498] and std [0.502, 0.502, 0.502]" in str(caught.value)
    refused, answered = predict_batch_fn([tensor, good], model)
    assert isinstance(refused, RequestError)
    assert not isinstance(answered, Exception)


def test_a_tensor_that_overshoots_a_little_is_answered(model: Model) -> None:
    tensor = preprocessing.to_tensor(picture(), model.preprocessing)
    assert answer(model, json.dumps((tensor * 1.3).tolist()), "application/json")


def test_the_ranked_answer_has_every_class_with_honest_probabilities(model: Model) -> None:
    ranked = answer(model, encoded("PNG"), "image/png", RANKED)
    plain = answer(model, encoded("PNG"), "image/png")
    assert isinstance(ranked, dict)
    assert isinstance(plain, list)
    assert (ranked["model_id"], ranked["classes"]) == (model.model_id, 3)
    scores = ranked["predictions"][0]["scores"]
    assert [score["logit"] for score in scores] == sorted(plain[0], reverse=True)
    assert sum(score["probability"] for score in scores) == pytest.approx(1)
    ratio = scores[0]["probability"] / scores[1]["probability"]
    assert math.log(ratio) == pytest.approx((scores[0]["logit"] - scores[1]["logit"]) / 1.5, rel=1e-4)
    for score in scores:
        assert score["class_folder"] == list(CLASSES)[score["index"]]
        assert score["label"] == score["class_folder"][4:].replace("_", " ")


def test_the_scores_answer_has_the_same_probabilities_in_the_order_of_the_classes(model: Model) -> None:
    ranked, scores = (answer(model, encoded("PNG"), "image/png", accept) for accept in (RANKED, SCORES))
    assert isinstance(ranked, dict)
    assert isinstance(scores, dict)
    by_index = {score["index"]: score["probability"] for score in ranked["predictions"][0]["scores"]}
    (row,) = scores["predictions"]
    assert row["probabilities"] == [by_index[index] for index in range(3)]
    assert scores["model_id"] == ranked["model_id"]
    assert set(scores) - {"rejection"} == {"model_id", "predictions"}


@pytest.mark.parametrize("accept", [RANKED, SCORES])
@pytest.mark.parametrize(("threshold", "rejected"), [(1e9, False), (-1e9, True)])
def test_both_answers_say_what_looks_like_none_of_the_classes(
    written_bundle: Path, accept: str, threshold: float, rejected: bool
) -> None:
    rule = SimpleNamespace(method="sum", threshold=threshold, scores=lambda *both: sum(each.sum(1) for each in both))
    model = load(written_bundle)
    model.description = dataclasses.replace(model.description, rejection=rule)  # type: ignore[arg-type]
    ruled = answer(model, encoded("PNG"), "image/png", accept)
    assert isinstance(ruled, dict)
    assert ruled["rejection"] == {"method": "sum", "threshold": threshold}
    (row,) = ruled["predictions"]
    with torch.inference_mode():
        pixels = preprocessing.to_tensor(picture(), model.preprocessing)[None]
        score = float(rule.scores(*model.forward_with_features(pixels)))
    assert (row["rejected"], row["rejection_score"]) == (rejected, pytest.approx(score))


@pytest.mark.parametrize("accept", [RANKED, SCORES])
def test_a_model_without_such_a_rule_says_nothing_of_it(written_bundle: Path, accept: str) -> None:
    model = load(written_bundle)
    model.description = dataclasses.replace(model.description, rejection=None)
    text = output_fn(predict_fn(torch.zeros(1, 3, 64, 64), model), accept)[0]
    assert "reject" not in text


def test_requests_in_company_get_their_own_answers_whatever_their_sizes(model: Model) -> None:
    several = torch.stack([torch.full((3, 64, 64), value) for value in (0.0, 0.5, 1.0)])
    tiny = Image.new("RGB", (1, 1))
    answers = predict_batch_fn([picture(), several, several[:1, :, :32], tiny], model)
    alone = [predict_fn(data, model) for data in (picture(), several, several[:1, :, :32], tiny)]
    for together, by_itself in zip(answers, alone, strict=True):
        assert isinstance(together, Prediction)
        assert torch.allclose(together.logits, by_itself.logits, atol=1e-5)
    (only,) = predict_batch_fn([picture()], model)
    assert isinstance(only, Prediction)
    assert torch.equal(only.logits, alone[0].logits)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html, application/*;q=0.5", "application/json"),
        (RANKED, RANKED),
        (f"application/json;q=0.4, {RANKED}", RANKED),
        (f"{RANKED};q=0, */*", "application/json"),
        (f"{SCORES}, {RANKED}, application/json", SCORES),
        (f"application/vnd.unknown, {RANKED}, application/json", RANKED),
        ("application/x-npy", "application/x-npy"),
        ("text/*;q=0.9, application/json;q=0.8", "text/csv"),
        ("*/*;q=0.1, text/csv;q=0.2", "text/csv"),
        ("application/json;q=0, application/*", RANKED),
    ],
)
def test_the_form_of_the_answer_is_what_the_client_prefers(model: Model, accept: str | None, form: str) -> None:
    prediction = predict_fn(torch.zeros(1, 3, 64, 64), model)
    assert output_fn(prediction, accept)[1] == form


def test_a_form_that_is_not_spoken_is_406(model: Model) -> None:
    with pytest.raises(RequestError, match="text/html") as caught:
        output_fn(predict_fn(torch.zeros(1, 3, 64, 64), model), "text/html, application/json;q=0")
    assert caught.value.status_code == 406


def test_an_endless_header_is_not_repeated(model: Model) -> None:
    with pytest.raises(RequestError) as refused:
        input_fn(b"", "a/" + "b" * 9000)
    with pytest.raises(RequestError) as unmet:
        output_fn(predict_fn(torch.zeros(1, 3, 64, 64), model), "a/" + "b" * 9000)
    assert all(len(str(error.value)) < 400 for error in (refused, unmet))


@pytest.mark.parametrize("content_type", ["application/octet-stream", "Application/Octet-Stream; q=1", "", None])
def test_without_a_better_name_the_bytes_decide(content_type: str | None) -> None:
    """boto3 sends application/octet-stream where its caller names nothing."""
    photograph = encoded("JPEG")
    assert input_fn(photograph, content_type).tobytes() == input_fn(photograph, "image/jpeg").tobytes()
    tensor = json.dumps(torch.zeros(3, 32, 32).tolist())
    assert input_fn(f" {tensor}".encode(), content_type).shape == (1, 3, 32, 32)
    assert input_fn(tensor, content_type).shape == (1, 3, 32, 32)
    for nothing in (b"", b"no picture"):
        with pytest.raises(RequestError, match="the picture cannot be used") as caught:
            input_fn(nothing, content_type)
        assert caught.value.status_code == 400


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


@pytest.mark.parametrize("content_type", ["application/x-npy", "application/octet-stream"])
def test_an_array_is_a_preprocessed_tensor_or_the_pixels_of_a_picture(model: Model, content_type: str) -> None:
    """The v2 SDK's PyTorchPredictor sends arrays, and asks for one."""
    pixels = preprocessing.to_tensor(picture(), model.preprocessing).numpy()
    expected = predict_fn(picture(), model).logits.numpy()
    sent = (pixels, pixels[None].astype("float64"), np.asfortranarray(pixels), pixels.astype(">f4"), picture())
    for array in sent:
        prediction = predict_fn(input_fn(npy(array), content_type), model)
        body, kind = output_fn(prediction, "application/x-npy")
        assert kind == "application/x-npy"
        assert isinstance(body, bytes)
        received = np.load(io.BytesIO(body), allow_pickle=False)
        assert (received.dtype, received.shape) == ("float32", (1, 3))
        assert np.allclose(received, expected, atol=1e-6)
    both = predict_fn(input_fn(npy(np.stack([pixels, pixels])), content_type), model)
    lines = str(output_fn(both, "text/csv")[0]).splitlines()
    assert [[float(cell) for cell in line.split(",")] for line in lines] == both.logits.tolist()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (npy({"a": 1}), "dtype object"),
        (npy(["text"]), "must hold numbers, not <U4"),
        (npy(np.zeros((3, 64, 64), "complex64")), "must hold numbers, not complex64"),
        (npy(np.zeros((64, 64))), r"must be \[3, h, w\] or \[n, 3, h, w\], not \[64, 64\]"),
        (npy(np.full((3, 64, 64), np.nan)), "not finite"),
        (npy(np.full((3, 64, 64), 1e300)), "not finite"),
        (npy(np.zeros((3, 64, 64), "longdouble")), "must be float32, not float128"),
        (npy(np.zeros((2, 64, 64, 3), "uint8")), r"not \[2, 64, 64, 3\]"),
        (npy(np.zeros((3, 64, 64)))[:-1], "declares 98304 bytes of data, but it has 98303"),
        (npy(np.zeros((3, 64, 64))) + b"x", "but it has 98305"),
        (
            b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,), }".ljust(118),
            "NumPy",
        ),
        (b"\x93NUMPY\x03\x00", "version 3.0 of the format is not supported"),
        (b"PK\x03\x04", "not an array in NumPy's format"),
        (b"", "not an array in NumPy's format"),
    ],
)
def test_an_array_that_cannot_be_used_is_a_400_that_says_why(body: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        input_fn(body, "application/x-npy")
    assert caught.value.status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "text/csv"])
def test_a_content_type_that_is_not_served_is_415_and_names_those_that_are(content_type: str | None) -> None:
    with pytest.raises(RequestError, match="image/jpeg") as caught:
        input_fn(b"", content_type)
    assert caught.value.status_code == 415


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "image/jpeg"),
        (b"no picture", "image/png"),
        (encoded("JPEG")[:400], "image/jpeg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "application/x-image"),
        ("text where bytes belong", "image/jpeg"),
        (b"{", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"{}", "application/json"),
        (b'{"url": 3}', "application/json"),
        (b"3", "application/json"),
        (b"[]", "application/json"),
        (b"[[1, 2], [3]]", "application/json"),
        (b'[[["a"]]]', "application/json"),
        (b"[[[1]]]", "application/json"),
        (json.dumps([[[0] * 8] * 8] * 3), "application/json"),
        (json.dumps([[[float("nan")] * 32] * 32] * 3), "application/json"),
        (json.dumps([[[0] * 32] * 32] * 4), "application/json"),
        (json.dumps([[[10**400] * 32] * 32] * 3), "application/json"),
    ],
)
def test_content_that_cannot_be_used_is_400_with_a_plain_reason(body: bytes | str, content_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        input_fn(body, content_type)
    assert caught.value.status_code == 400
    assert caught.value.message == str(caught.value)
    assert "Traceback" not in caught.value.message


@pytest.fixture
def picture_url() -> Iterator[str]:
    class PictureHost(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(encoded("PNG"))

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), PictureHost) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/dog.png"
        server.shutdown()


def test_a_url_is_fetched_where_the_endpoint_allows_it(
    model: Model, picture_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = json.dumps({"url": picture_url})
    with pytest.raises(RequestError, match="does not fetch URLs") as off:
        input_fn(request, "application/json")
    monkeypatch.setenv("DOGBREED_FETCH_URLS", "1")
    with pytest.raises(RequestError, match="not a public address") as refused:
        input_fn(request, "application/json")
    assert off.value.status_code == refused.value.status_code == 400
    monkeypatch.setenv("DOGBREED_FETCH_NETWORKS", "127.0.0.0/8")
    assert answer(model, request, "application/json") == answer(model, encoded("PNG"), "image/png")


def test_a_bundle_serves_from_its_own_code_alone(written_bundle: Path, tmp_path: Path) -> None:
    """What is beside it, or installed, must not be needed."""
    (tmp_path / "dog.png").write_bytes(encoded("PNG"))
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1] + '/code'); import inference;"
        "model = inference.model_fn(sys.argv[1]);"
        "picture = inference.input_fn(Path('dog.png').read_bytes(), 'image/png');"
        "import training_scripts;"
        "print(training_scripts.__file__);"
        "print(inference.output_fn(inference.predict_fn(picture, model), None)[0])"
    )
    served = subprocess.run(
        [sys.executable, "-c", code, str(written_bundle)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    file, scores = served.stdout.splitlines()
    assert Path(file).is_relative_to(written_bundle)
    model = model_fn(str(written_bundle))
    assert json.loads(scores)[0] == pytest.approx(answer(model, encoded("PNG"), "image/png")[0], abs=1e-5)  # type: ignore[index]


def test_the_errors_are_ours_where_awss_toolkit_is_not(model: Model) -> None:
    assert inference.RequestError.__mro__[1] is Exception
