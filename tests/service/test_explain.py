"""Explanations over HTTP: from a bundle's own model, with the limits of every other picture; and previews."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image

from dogbreed_sdk import AsyncBreedClassifier, ConfigurationError
from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.service import ApiKeys, Rate, ServiceSettings
from dogbreed_sdk.service.subject import subject_of
from dogbreed_sdk.testing import FakeEndpoint
from tests.conftest import Workshop
from tests.service.conftest import Serve
from tests.service.running import BREEDS, JPEG, RunningService

KEY = "a-key-of-24-characters-X"


def opened(data_url: str, kind: str) -> Image.Image:
    prefix = f"data:image/{kind};base64,"
    assert data_url.startswith(prefix)
    return Image.open(io.BytesIO(base64.b64decode(data_url.removeprefix(prefix))))


def picture(size: tuple[int, int] = (320, 200)) -> bytes:
    written = io.BytesIO()
    image = Image.new("RGB", size, (230, 225, 210))
    image.paste((200, 20, 40), (20, 20, 120, 120))
    image.save(written, "JPEG")
    return written.getvalue()


class LocalModel:
    """A bundle in this process, in the place of a scripted endpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def async_classifier(self) -> AsyncBreedClassifier:
        return AsyncBreedClassifier.from_bundle(self._path)


@pytest.fixture(scope="module")
def explaining(workshop: Workshop) -> Iterator[RunningService]:
    settings = ServiceSettings(api_keys=ApiKeys([KEY]), rate=Rate(1000, 3600), max_body_bytes=200_000)
    with RunningService(LocalModel(bundle_path(workshop.job.model_uri)), settings) as running:  # type: ignore[arg-type]
        yield running


def explained(service: RunningService, query: str = "", **headers: str) -> requests.Response:
    return service.post(f"/v1/explain{query}", data=picture(), headers={**JPEG, "X-API-Key": KEY, **headers})


class TestExplain:
    def test_the_heat_map_has_the_picture_s_shape(self, explaining: RunningService) -> None:
        answer = explained(explaining).json()
        assert answer["label"] == answer["prediction"]["label"] == answer["prediction"]["scores"][0]["label"]
        assert answer["box"] == pytest.approx([0.225, 0.0625, 0.775, 0.9375], abs=0.01)
        assert len(answer["contributions"]) == len(answer["contributions"][0]) == 7
        layer = opened(answer["heatmap"], "png")
        assert (layer.mode, layer.size) == ("RGBA", (320, 200))
        assert layer.getextrema()[3][1] > 100

    def test_a_png_is_the_picture_with_the_heat_map(self, explaining: RunningService) -> None:
        response = explained(explaining, Accept="image/png")
        assert response.headers["Content-Type"] == "image/png"
        with Image.open(io.BytesIO(response.content)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (320, 200))

    def test_a_class_is_chosen_by_its_label(self, explaining: RunningService) -> None:
        assert explained(explaining, "?label=green%20stripes&top_k=1").json()["class_folder"] == "010.Green_stripes"
        response = explained(explaining, "?label=Pug")
        assert (response.status_code, response.json()["errors"][0]["where"]) == (422, "label")
        assert explained(explaining, "?breed=Pug").json()["errors"][0]["what"] == (
            "unknown parameter; the known ones are top_k, label"
        )

    def test_it_needs_a_key_and_keeps_the_limits(self, explaining: RunningService) -> None:
        assert explained(explaining, **{"X-API-Key": "wrong"}).status_code == 401
        large = explaining.post("/v1/explain", data=b"x" * 300_000, headers={**JPEG, "X-API-Key": KEY})
        assert (large.status_code, large.json()["type"]) == (413, "/problems/payload-too-large")
        broken = explaining.post("/v1/explain", data=b"no picture", headers={**JPEG, "X-API-Key": KEY})
        assert (broken.status_code, broken.json()["type"]) == (415, "/problems/unsupported-image")

    def test_the_documentation_and_the_page_have_it(self, explaining: RunningService) -> None:
        described = explaining.get("/openapi.json").json()["paths"]["/v1/explain"]["post"]
        assert {parameter["name"] for parameter in described["parameters"]} == {"top_k", "label"}
        assert set(described["responses"]["200"]["content"]) == {"application/json", "image/png"}
        assert " data-explain" in explaining.get("/").text
        assert explaining.get("/v1/labels", headers={"X-API-Key": KEY}).json()["subject"] == "classes"

    def test_it_counts_toward_the_rate(self, workshop: Workshop) -> None:
        model = LocalModel(bundle_path(workshop.job.model_uri))
        with RunningService(model, ServiceSettings(rate=Rate(1, 3600))) as running:  # type: ignore[arg-type]
            assert explained(running).status_code == 200
            assert explained(running).status_code == 429


def test_an_endpoint_s_service_does_not_explain(service: RunningService) -> None:
    response = service.post("/v1/explain", data=picture(), headers=JPEG)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")
    assert "needs a bundle or a job's model" in response.json()["detail"]
    assert "/v1/explain" not in service.get("/openapi.json").json()["paths"]
    assert "data-explain" not in service.get("/").text


class TestPreview:
    def test_it_is_a_small_jpeg_of_what_was_classified(self, service: RunningService) -> None:
        answer = service.classify(picture((1500, 1000)), "?preview=true").json()
        assert answer["label"] == "Pug"
        with opened(answer["preview"], "jpeg") as preview:
            assert (preview.format, preview.size) == ("JPEG", (960, 640))
        assert "preview" not in service.classify(picture()).json()

    def test_formats_that_browsers_do_not_show_have_one(self, service: RunningService) -> None:
        written = io.BytesIO()
        Image.new("RGB", (64, 48), "red").save(written, "TIFF")
        answer = service.classify(written.getvalue(), "?preview=true", **{"Content-Type": "image/tiff"}).json()
        assert opened(answer["preview"], "jpeg").size == (64, 48)

    def test_a_phone_s_format_has_one(self, service: RunningService) -> None:
        pillow_heif = pytest.importorskip("pillow_heif")
        written = io.BytesIO()
        pillow_heif.from_pillow(Image.new("RGB", (96, 64), "red")).save(written)
        answer = service.classify(written.getvalue(), "?preview=true", **{"Content-Type": "image/heic"}).json()
        assert opened(answer["preview"], "jpeg").size == (96, 64)

    def test_a_url_is_loaded_by_the_guarded_downloader_only(self, service: RunningService) -> None:
        response = service.post("/v1/classify?preview=true", json={"url": f"{service.url}/docs"})
        assert (response.status_code, response.json()["type"]) == (422, "/problems/image-download")


class TestPageOptions:
    def test_the_title_and_the_question(self, serve: Serve) -> None:
        titled = serve(title="Whose <dog>?")
        assert "<h1>Whose &lt;dog&gt;?</h1>" in titled.get("/").text
        assert titled.get("/openapi.json").json()["info"]["title"] == "Whose <dog>?"
        service = serve(FakeEndpoint(BREEDS))
        assert "<title>What is in this picture?</title>" in service.get("/").text
        service.get("/v1/labels")
        assert "<title>Which breed is this dog?</title>" in service.get("/").text

    def test_examples_are_encoded_anew(self, serve: Serve, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x010E] = "at home"
        Image.new("RGB", (2000, 1000), "red").save(tmp_path / "b_red.jpg", exif=exif)
        (tmp_path / "a_broken.jpg").write_bytes(b"no picture")
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / "Pug").mkdir()
        for name in ("one.png", "two.png"):
            Image.new("RGB", (60, 40), "blue").save(tmp_path / "Pug" / name)
        service = serve(examples=tmp_path)
        page = service.get("/").text
        assert [name in page for name in ("the example b red", "the example one", "example two", "broken")] == [
            True,
            True,
            False,
            False,
        ]
        response = service.get("/examples/0")
        assert response.headers["Content-Type"] == "image/jpeg"
        assert b"at home" not in response.content
        with Image.open(io.BytesIO(response.content)) as image:
            assert image.size == (900, 450)
        assert [service.get(f"/examples/{name}").status_code for name in ("2", "-1", "x", "..%2fnotes.txt")] == [
            404
        ] * 4

    def test_a_folder_without_pictures_is_refused_at_the_start(self, serve: Serve, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="No picture in"):
            serve(examples=tmp_path)
        with pytest.raises(ConfigurationError, match="is not a directory"):
            serve(examples=tmp_path / "missing")


def test_only_breeds_of_dogs_are_asked_for_a_breed(test_data: Path) -> None:
    names = [path.name.partition(".")[2].replace("_", " ") for path in (test_data / "dogs" / "train").iterdir()]
    assert len(names) == 120
    assert subject_of(names) == "dogs"
    assert subject_of([*names[:10], "Siamese", "Sphynx"]) == "classes"
    assert subject_of(["Cat", "Hot dog"]) == subject_of([]) == "classes"
