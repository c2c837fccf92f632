"""A heat map lies on the original picture, explains the class that is asked for, and needs the network."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import explanations
from dogbreed_sdk import AsyncBreedClassifier, BreedClassifier, ConfigurationError, Explanation, LabelError, ModelError
from dogbreed_sdk.cli import explain_command
from dogbreed_sdk.client import explanation, explanation_page
from dogbreed_sdk.client.resemblance import Resemblance
from dogbreed_sdk.predictions import BreedScore, Prediction
from dogbreed_sdk.testing import FakeEndpoint
from tests.conftest import Workshop

pytestmark = pytest.mark.extras

PUG = Prediction.from_scores((BreedScore("Pug", "002.Pug", 1, 0.75), BreedScore("Boxer", "001.Boxer", 0, 0.25)))
FOLDERS = ["001.Boxer", "002.Pug"]


@pytest.fixture(scope="module")
def classifier(workshop: Workshop) -> BreedClassifier:
    return BreedClassifier.from_bundle(workshop.job.model_uri)


def answer(grid: object, *, resize: int = 224, crop: int = 224, index: int = 1) -> bytes:
    cut = {"resize": resize, "crop": crop}
    return json.dumps({"explanation": {"index": index, "contributions": grid}, "preprocessing": cut}).encode()


def explained(grid: object, size: tuple[int, int] = (200, 100)) -> Explanation:
    return explanation.parse(answer(grid), PUG, Image.new("RGB", size, "white"), labels=FOLDERS)


def with_a_disc(size: tuple[int, int], center: tuple[int, int], radius: int) -> Image.Image:
    picture = Image.new("RGB", size, (230, 225, 210))
    x, y = center
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(200, 20, 40))
    return picture


def hottest(found: Explanation) -> tuple[float, float]:
    """The middle of the hot part, as shares of width and height."""
    rows, columns = np.nonzero(found.heatmap > 0.6)
    return float(columns.mean() / found.picture.width), float(rows.mean() / found.picture.height)


def test_a_page_says_if_a_picture_speaks_against_the_class() -> None:
    remark = "Taken together, its parts speak against it."
    pages = [explanation_page.document(explained(grid), (), name="rex.jpg").decode() for grid in ([[2, -1]], [[1, -3]])]
    assert [remark in page for page in pages] == [False, True]


def test_a_class_without_evidence_is_said_to_have_none() -> None:
    told = "Nothing in the picture speaks for Pug."
    for grid, nothing in (([[-1.0, -3.0]], True), ([[1.0, -3.0]], False)):
        found = explained(grid)
        page = explanation_page.document(found, (), name="rex.jpg").decode()
        assert (told in page, told in found._repr_html_()) == (nothing, nothing)
        assert ("The brighter, the more" in page) != nothing
        [*_, line] = explain_command._lines(found, (), "")
        assert (line == told) == nothing


class TestMap:
    def test_the_strongest_part_is_1_and_what_was_not_seen_is_0(self) -> None:
        found = explained([[0.0, 0.0], [0.0, 4.0]])
        assert found.box == (50.0, 0.0, 150.0, 100.0)
        heat = found.heatmap
        assert (heat.shape, heat.dtype) == ((100, 200), np.float32)
        assert heat.max() == heat[99, 149] == 1.0
        assert heat[:, :50].max() == heat[:, 150:].max() == 0.0
        assert heat[5, 55] < 0.05

    def test_what_speaks_against_the_class_is_cold(self) -> None:
        assert explained([[-3.0, 2.0], [-1.0, -2.0]]).heatmap[0, 50] == 0.0
        nothing = explained([[-3.0, -2.0], [-1.0, -2.0]])
        assert nothing.heatmap.max() == 0.0
        assert nothing.layer().getextrema()[3] == (0, 0)

    def test_a_large_picture_is_shown_smaller_with_its_box(self) -> None:
        found = explained([[1.0]], (4000, 2000))
        assert found.picture.size == (1600, 800)
        assert found.box == (400.0, 0.0, 1200.0, 800.0)
        assert found.heatmap.shape == (800, 1600)

    def test_the_overlay_colors_the_evidence_and_darkens_what_was_cut_off(self) -> None:
        overlay = explained([[0.0, 0.0], [0.0, 4.0]]).overlay()
        assert (overlay.mode, overlay.size) == ("RGB", (200, 100))
        assert overlay.getpixel((20, 50)) == pytest.approx((115, 115, 115), abs=1)
        red, _, blue = overlay.getpixel((149, 99))
        assert red - blue > 50
        assert min(overlay.getpixel((52, 2))) > 240

    def test_its_forms_for_people_and_programs(self) -> None:
        found = explained([[0.5, -1.0]])
        values = json.loads(json.dumps(found.to_dict()))
        assert values["prediction"]["label"] == values["label"] == "Pug"
        assert (values["class_folder"], values["index"]) == ("002.Pug", 1)
        assert (values["picture_size"], values["contributions"]) == ([200, 100], [[0.5, -1.0]])
        assert str(found) == "why Pug: Pug (75%)"
        assert "data:image/jpeg;base64," in found._repr_html_()
        assert len(repr(found)) < 500

    @pytest.mark.parametrize("grid", [None, [], [[]], [[1.0], [1.0, 2.0]], [["x"]], [[float("nan")]]])
    def test_what_is_no_explanation_is_refused(self, grid: object) -> None:
        with pytest.raises(ModelError, match="contains no explanation"):
            explained(grid)


class TestLocalModel:
    @pytest.mark.parametrize(("size", "center"), [((640, 360), (420, 120)), ((300, 620), (90, 400))])
    def test_the_hot_part_is_where_the_object_is(
        self, classifier: BreedClassifier, size: tuple[int, int], center: tuple[int, int]
    ) -> None:
        found = classifier.explain(with_a_disc(size, center, 70))
        assert found.label == found.prediction.label == "Red disc"
        assert hottest(found) == pytest.approx((center[0] / size[0], center[1] / size[1]), abs=0.2)

    def test_the_camera_s_orientation_is_honored(self, classifier: BreedClassifier) -> None:
        upright = with_a_disc((400, 300), (280, 90), 60)
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = io.BytesIO()
        upright.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=95, exif=exif)
        found = classifier.explain(turned.getvalue())
        assert found.picture.size == (400, 300)
        assert hottest(found) == pytest.approx((0.7, 0.3), abs=0.2)

    def test_it_predicts_what_classify_predicts(self, classifier: BreedClassifier, workshop: Workshop) -> None:
        picture = workshop.dataset.pictures("test")[0].path
        found = classifier.explain(picture, top_k=2)
        assert found.prediction.scores == classifier.classify(picture, top_k=2).scores

    def test_another_class_can_be_explained(self, classifier: BreedClassifier, workshop: Workshop) -> None:
        picture = workshop.dataset.pictures("test")[0].path
        default, other = classifier.explain(picture), classifier.explain(picture, label="Green stripes")
        assert (default.label, other.label, other.class_folder) == ("Red disc", "Green stripes", "010.Green_stripes")
        assert other.prediction.label == "Red disc"
        assert np.mean(other.contributions) < np.mean(default.contributions)
        assert classifier.explain(picture, label="001.Red_disc").contributions == default.contributions
        with pytest.raises(LabelError, match="'Poodle' is not one of the 3 classes"):
            classifier.explain(picture, label="Poodle")

    def test_a_model_that_predicts_in_onnx_runtime_explains_the_same(
        self, classifier: BreedClassifier, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("onnxruntime")
        monkeypatch.setenv("DOGBREED_BACKEND", "onnx")
        picture = workshop.dataset.pictures("test")[0].path
        with BreedClassifier.from_bundle(workshop.job.model_uri) as other:
            found, expected = other.explain(picture), classifier.explain(picture)
        np.testing.assert_allclose(found.contributions, expected.contributions, atol=1e-4)


def test_an_endpoint_names_what_to_use_instead(tmp_path: Path) -> None:
    classifier = FakeEndpoint(["Pug"]).classifier()
    with pytest.raises(ConfigurationError, match=r"needs the model's network .* BreedClassifier.from_bundle"):
        classifier.explain(tmp_path / "rex.jpg")


class TestDeletion:
    """With ImageNet's own classifier, which needs no training, on photographs of dogs."""

    @pytest.fixture
    def of_imagenet(self, tmp_path: Path) -> Iterator[BreedClassifier]:
        import torch  # noqa: PLC0415 - needed here only

        from training_scripts.models import backbones, bundle_writer, efficientnet_lite, heads, state_dicts  # noqa: PLC0415

        spec = backbones.spec("efficientnet_lite0")
        head = heads.build(heads.HeadSpec(), width=spec.feature_width, classes=1000)
        state = state_dicts.read(efficientnet_lite.pretrained_file(spec.name))
        head.load_state_dict({"0.weight": state["_fc.weight"], "0.bias": state["_fc.bias"]})
        bundle_writer.write(
            tmp_path,
            backbone_name=spec.name,
            backbone_state=backbones.create(spec.name).state_dict(),
            head=head,
            head_spec=heads.HeadSpec(),
            classes=[f"{index:03}.Class" for index in range(1000)],
            preprocessing=spec.preprocessing,
            metrics={},
            temperature=1.0,
            fingerprint="0" * 64,
            hyperparameters={},
        )
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # several would wait for each other, beside tests in other processes
        with BreedClassifier.from_bundle(tmp_path) as classifier:
            yield classifier
        torch.set_num_threads(before)

    def test_covering_the_hot_part_costs_more_than_covering_another(
        self, of_imagenet: BreedClassifier, test_data: Path
    ) -> None:
        breeds = sorted((test_data / "dogs" / "test").iterdir())[::10]
        pictures = [min(breed.iterdir()) for breed in breeds]
        measured = list(explanations.deletions(of_imagenet, pictures))
        assert len(measured) == 12
        mean, half = explanations.interval([each.difference for each in measured])
        assert mean > half, "the interval must leave out 0"
        assert sum(each.difference > 0 for each in measured) >= 9


class TestFindingSimilarPictures:
    def test_a_training_picture_is_the_nearest_to_itself(self, classifier: BreedClassifier, workshop: Workshop) -> None:
        pictures = workshop.dataset.pictures("train")
        chosen = pictures[14]
        found = classifier.find_similar(chosen.path, workshop.job, limit=4)
        assert found[0].picture == f"{chosen.class_folder}/{chosen.path.name}"
        assert (found[0].class_folder, found[0].label) == (chosen.class_folder, "Blue square")
        assert found[0].similarity == pytest.approx(1.0, abs=1e-4)
        assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)
        assert {each.label for each in found} == {"Blue square"}
        assert found[0].path is None

        async def nearest() -> tuple[Resemblance, ...]:
            return await AsyncBreedClassifier.wrapping(classifier).find_similar(chosen.path, workshop.job, limit=4)

        assert asyncio.run(nearest()) == found

    def test_stored_and_computed_features_name_the_same_pictures(
        self, classifier: BreedClassifier, workshop: Workshop
    ) -> None:
        picture = workshop.dataset.pictures("test")[5].path
        stored = classifier.find_similar(picture, workshop.job.features_uri, limit=3)
        assert workshop.dataset.root is not None
        computed = classifier.find_similar(picture, workshop.dataset.root, limit=3)
        assert [each.picture for each in computed] == [each.picture for each in stored]
        assert [each.similarity for each in computed] == pytest.approx([each.similarity for each in stored], abs=1e-3)
        assert all(each.path is not None and each.path.is_file() for each in computed)
        assert json.loads(json.dumps(computed[0].to_dict()))["label"] == computed[0].label

    def test_what_cannot_be_compared_with_is_named(
        self, classifier: BreedClassifier, workshop: Workshop, tmp_path: Path
    ) -> None:
        picture = workshop.dataset.pictures("test")[0].path
        with pytest.raises(ConfigurationError, match="cannot be compared with"):
            classifier.find_similar(picture, tmp_path)
        with pytest.raises(ConfigurationError, match="is not on this machine; pass the folder of the data set"):
            classifier.find_similar(picture, "s3://bucket/features")
        with pytest.raises(ConfigurationError, match="limit must be"):
            classifier.find_similar(picture, tmp_path, limit=0)
        with pytest.raises(ConfigurationError, match="needs the model's network"):
            FakeEndpoint(["Pug"]).classifier().find_similar(picture, tmp_path)
