"""`detect` names the dogs of a picture, small ones and several, with their places; nothing where there is nothing."""

from __future__ import annotations

import asyncio
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed_sdk import BreedClassifier, ConfigurationError, Detection, EndpointError, UnsupportedImageError
from dogbreed_sdk.client import detection as detecting
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.detection import boxes_of, distinct
from dogbreed_sdk.client.transports import Response
from dogbreed_sdk.predictions import BreedScore, Prediction, Rejection
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.training_scripts.conftest import write_bundle

pytestmark = pytest.mark.extras

GRASS, RED, BLUE = (90, 160, 80), (200, 20, 30), (30, 40, 200)
FOLDERS = ["001.Boxer", "002.Pug"]


class ColorEndpoint(FakeEndpoint):
    """Its model knows red Pugs and blue Boxers, and is surer the more of the picture they fill."""

    def __init__(self, *, rejects: bool = True) -> None:
        super().__init__(FOLDERS)
        self.rejects = rejects
        self.seen: list[tuple[int, int]] = []

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        super().invoke(body, content_type, accept, connect_timeout=connect_timeout, read_timeout=read_timeout)
        with Image.open(io.BytesIO(body)) as opened:
            image = opened.convert("RGB")
        self.seen.append(image.size)
        red, blue = (float((np.asarray(image)[:, :, channel] > 140).mean()) for channel in (0, 2))
        pug = 0.5 + (red - blue) / 2
        scores = [
            {"index": index, "class_folder": folder, "label": folder[4:], "probability": share}
            for index, (folder, share) in enumerate(zip(FOLDERS, (1 - pug, pug), strict=True))
        ]
        answer = {"model_id": "colors", "predictions": [{"scores": scores}], "rejection": {"threshold": 0.75}}
        if self.rejects:
            unlike = 1 - max(red, blue)
            answer["predictions"] = [{"scores": scores, "rejected": unlike > 0.75, "rejection_score": unlike}]
        return Response(json.dumps(answer).encode(), responses.CONTENT_TYPE, None)


def meadow(size: tuple[int, int], *dogs: tuple[tuple[int, int, int], tuple[int, int, int, int]]) -> Image.Image:
    image = Image.new("RGB", size, GRASS)
    for color, box in dogs:
        image.paste(color, box)
    return image


def contains(outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def detection(folder: str, probability: float, box: tuple[int, int, int, int], unlike: float = 0.2) -> Detection:
    other = next(name for name in FOLDERS if name != folder)
    scores = [BreedScore(name[4:], name, FOLDERS.index(name), p) for name, p in ((folder, probability), (other, 0.0))]
    return Detection(Prediction.from_scores(tuple(scores), rejection=Rejection(unlike > 0.5, unlike, 0.5)), box)


class TestWindows:
    @pytest.mark.parametrize("size", [(500, 500), (640, 480), (375, 500), (1920, 1080), (4000, 500), (331, 500)])
    @pytest.mark.parametrize("most", [16, 48])
    def test_they_are_squares_that_cover_the_picture_and_overlap_by_half(
        self, size: tuple[int, int], most: int
    ) -> None:
        whole, *squares = boxes_of(size, most)
        assert whole == (0, 0, *size)
        assert 7 <= len(squares) < most
        for side in {right - left for left, _, right, _ in squares}:
            level = [box for box in squares if box[2] - box[0] == side]
            assert all(box[3] - box[1] == side and contains(whole, box) for box in level)
            for axis in (0, 1):
                starts = sorted({box[axis] for box in level})
                assert (starts[0], starts[-1]) == (0, size[axis] - side)
                assert all(after - before <= 0.55 * side for before, after in pairwise(starts))

    def test_a_size_of_windows_is_complete_or_left_out(self) -> None:
        assert [len(boxes_of((500, 500), most)) for most in (1, 9, 10, 34, 35, 83, 84)] == [1, 1, 10, 10, 35, 35, 84]

    def test_windows_of_a_few_pixels_are_left_out(self) -> None:
        assert boxes_of((60, 60), 1000) == [(0, 0, 60, 60)]
        assert boxes_of((4000, 40), 300)[1:] == [(left, 0, left + 40, 40) for left in range(0, 3961, 20)]


class TestDetect:
    def test_a_small_dog_is_found_where_it_is(self) -> None:
        dog = (420, 60, 600, 240)
        endpoint = ColorEndpoint()
        found = endpoint.classifier().detect(meadow((800, 600), (RED, dog)))
        assert [each.prediction.label for each in found] == ["Pug"]
        assert contains(found[0].box, dog)
        assert found[0].box[2] - found[0].box[0] == round((800 * 600) ** 0.5 / 2)
        assert len(endpoint.requests) == 13

    def test_two_dogs_are_both_named_best_first(self) -> None:
        small, large = (60, 200, 250, 390), (500, 150, 790, 440)
        found = ColorEndpoint().classifier().detect(meadow((840, 600), (BLUE, small), (RED, large)))
        assert [each.prediction.label for each in found] == ["Pug", "Boxer"]
        assert contains(found[0].box, large)
        assert contains(found[1].box, small)

    def test_more_windows_find_a_smaller_dog(self) -> None:
        classifier = ColorEndpoint().classifier()
        scene = meadow((600, 600), (RED, (310, 310, 420, 420)))
        assert classifier.detect(scene) == []
        [found] = classifier.detect(scene, windows=48)
        assert contains(found.box, (310, 310, 420, 420))
        assert found.box[2] - found.box[0] == 200

    def test_a_picture_of_one_dog_has_one_answer_that_of_classify(self) -> None:
        classifier = ColorEndpoint().classifier()
        portrait = meadow((400, 300), (RED, (0, 0, 400, 300)))
        [found] = classifier.detect(portrait)
        assert found.prediction.scores == classifier.classify(portrait).scores
        assert found.box == (0, 0, 400, 300)

    def test_nothing_is_found_in_an_empty_meadow(self) -> None:
        assert ColorEndpoint().classifier().detect(meadow((640, 480))) == []

    def test_without_a_rejection_rule_half_the_probability_decides(self) -> None:
        classifier = ColorEndpoint(rejects=False).classifier()
        [found] = classifier.detect(meadow((800, 600), (RED, (420, 60, 600, 240))))
        assert found.prediction.label == "Pug"
        assert found.prediction.rejected is None

    def test_boxes_are_those_of_the_upright_picture_in_its_own_pixels(self) -> None:
        dog = (2600, 300, 3500, 1200)
        scene = meadow((4000, 3000), (RED, dog))
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = io.BytesIO()
        scene.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=90, exif=exif)
        endpoint = ColorEndpoint()
        [found] = endpoint.classifier().detect(turned.getvalue())
        assert contains(found.box, dog)
        assert found.box[2] - found.box[0] == round((4000 * 3000) ** 0.5 / 2)
        sent = sorted(endpoint.seen)[:-1]  # without the whole picture
        assert all(max(size) <= 434 for size in sent)  # the JPEG is read at a quarter of its size

    def test_asyncio_finds_the_same(self) -> None:
        scene = meadow((800, 600), (RED, (420, 60, 600, 240)))

        async def detected() -> list[Detection]:
            async with ColorEndpoint().async_classifier() as classifier:
                return await classifier.detect(scene)

        assert [each.box for each in asyncio.run(detected())] == [
            each.box for each in ColorEndpoint().classifier().detect(scene)
        ]

    def test_its_forms_for_people_and_programs(self) -> None:
        found = detection("002.Pug", 0.76, (1, 2, 30, 40))
        assert str(found) == "Pug (76%) at 1, 2, 30, 40"
        assert json.loads(json.dumps(found.to_dict())) == {
            "box": [1, 2, 30, 40],
            "prediction": json.loads(json.dumps(found.prediction.to_dict())),
        }

    def test_the_first_failure_is_raised_and_names_no_window(self) -> None:
        endpoint = FakeEndpoint(FOLDERS).answers("Pug").refuses("AccessDeniedException", "not yours")
        with pytest.raises(Exception, match="not yours") as raised:
            endpoint.classifier().detect(picture(size=(100, 100)), max_concurrency=1)
        assert not str(raised.value).startswith("picture")
        failing = FakeEndpoint(FOLDERS).fails(times=100).classifier(max_attempts=1)
        with pytest.raises(EndpointError):
            failing.detect(picture(size=(100, 100)))

    @pytest.mark.parametrize("wrong", [{"windows": 0}, {"windows": 2.5}, {"top_k": 0}, {"max_concurrency": 0}])
    def test_arguments_are_checked_before_anything_is_sent(self, wrong: dict[str, int]) -> None:
        endpoint = FakeEndpoint(FOLDERS)
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            endpoint.classifier().detect(picture(), **wrong)
        with pytest.raises(UnsupportedImageError, match="empty"):
            endpoint.classifier().detect(b"")
        assert not endpoint.requests


class TestDistinct:
    def test_the_better_of_two_overlapping_answers_remains(self) -> None:
        worse, better = detection("002.Pug", 0.7, (0, 0, 100, 100)), detection("002.Pug", 0.9, (50, 0, 150, 100))
        assert distinct([worse, better]) == [better]

    def test_another_class_in_the_same_place_is_the_same_dog(self) -> None:
        whole, part = detection("002.Pug", 0.9, (0, 0, 100, 100)), detection("001.Boxer", 0.6, (0, 0, 50, 50))
        assert distinct([part, whole]) == [whole]

    def test_dogs_in_two_places_remain_also_of_one_class(self) -> None:
        first, second = detection("002.Pug", 0.9, (0, 0, 50, 50)), detection("002.Pug", 0.8, (50, 0, 100, 50))
        beside = detection("001.Boxer", 0.7, (80, 0, 130, 50))
        assert distinct([beside, second, first]) == [first, second, beside]

    def test_a_chain_of_windows_of_a_class_is_one_dog(self) -> None:
        chain = [detection("002.Pug", 0.9 - left / 1000, (left, 0, left + 50, 50)) for left in range(0, 200, 25)]
        assert distinct(chain) == [chain[0]]
        assert distinct([*chain, detection("001.Boxer", 0.6, (160, 0, 210, 50))]) == [chain[0]]

    def test_what_is_rejected_is_left_out_however_probable(self) -> None:
        assert distinct([detection("002.Pug", 0.99, (0, 0, 50, 50), unlike=0.6)]) == []


def test_a_bundle_computes_batches_with_the_answers_of_requests(tmp_path: Path) -> None:
    images = [picture(number, size=(120, 90)) for number in range(3)]
    with BreedClassifier.from_bundle(write_bundle(tmp_path)) as classifier:
        decoded = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
        together = detecting._together(classifier, decoded, 5)
        each = list(classifier.classify_many(images))
    assert together is not None
    for one, other in zip(together, each, strict=True):
        assert [score.index for score in one.scores] == [score.index for score in other.scores]
        assert [score.probability for score in one.scores] == pytest.approx(
            [score.probability for score in other.scores], abs=1e-5
        )
