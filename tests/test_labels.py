"""Labels: one map between index, class folder and display name, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dogbreed_sdk.errors import LabelError
from dogbreed_sdk.labels import LabelMap, most_probable
from training_scripts._util.class_names import display_name

FOLDERS = ["001.Affenpinscher", "002.Afghan_hound", "009.American_water_spaniel"]


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("009.American_water_spaniel", "American water spaniel"),
        ("013.Black-and-tan_coonhound", "Black-and-tan coonhound"),
        ("n02085620-Chihuahua", "Chihuahua"),
        ("n02086646-Blenheim_spaniel", "Blenheim spaniel"),
        ("golden_retriever", "golden retriever"),
        ("2024", "2024"),
        ("007.", "007."),
        ("___", "___"),
    ],
)
def test_display_names(folder: str, label: str) -> None:
    assert display_name(folder) == label


def test_every_direction_of_the_map() -> None:
    labels = LabelMap.from_list(FOLDERS)
    assert len(labels) == 3
    assert list(labels) == FOLDERS
    assert labels.labels == ("Affenpinscher", "Afghan hound", "American water spaniel")
    assert labels.label(2) == "American water spaniel"
    assert labels.class_folder(2) == "009.American_water_spaniel"
    assert labels.index("009.American_water_spaniel") == labels.index("american WATER spaniel") == 2


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_classes_is_an_error_not_another_class(index: int) -> None:
    with pytest.raises(LabelError, match=f"index {index} is out of range: the 3 classes have the indices 0 to 2"):
        LabelMap.from_list(FOLDERS).label(index)


def test_unknown_and_ambiguous_names_are_errors() -> None:
    labels = LabelMap.from_list(["001.Pug", "002.Pug"])
    with pytest.raises(LabelError, match=r"2 classes: 001\.Pug, 002\.Pug"):
        labels.index("Pug")
    assert labels.index("002.Pug") == 1
    with pytest.raises(LabelError, match="'Poodle' is not one of the 2 classes: "):
        labels.index("Poodle")


def test_duplicates_say_how_many_and_which() -> None:
    with pytest.raises(LabelError, match=r"3 classes are listed, but only 2 are distinct; .*: a\."):
        LabelMap.from_list(["a", "b", "a"])


@pytest.mark.parametrize("bad", [[], ["a", ""], ["a", 3], "abc"])
def test_lists_that_are_no_classes_are_refused(bad: list[str]) -> None:
    with pytest.raises(LabelError):
        LabelMap.from_list(bad)


def test_scores_and_labels_must_have_one_length() -> None:
    with pytest.raises(LabelError, match="133 scores, but there are 3 labels"):
        LabelMap.from_list(FOLDERS).rank([0.0] * 133)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(LabelError, match="finite"):
        LabelMap.from_list(FOLDERS).rank([0.1, value, 0.2])


def test_ranking_is_by_probability_then_by_index() -> None:
    ranked = LabelMap.from_list(FOLDERS).rank([0.25, 0.5, 0.25], top_k=2)
    assert [(score.index, score.label, score.probability) for score in ranked] == [
        (1, "Afghan hound", 0.5),
        (0, "Affenpinscher", 0.25),
    ]


def test_a_folder_is_read_in_sorted_order_and_without_hidden_or_plain_files(tmp_path: Path) -> None:
    for name in [*reversed(FOLDERS), ".ipynb_checkpoints"]:
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "000.readme.txt").write_text("no class")
    assert list(LabelMap.from_folder(tmp_path / "train")) == FOLDERS
    assert list(LabelMap.from_folder(tmp_path)) == FOLDERS  # a data set: its train split decides
    (tmp_path / "train").rename(tmp_path / "Training")
    assert list(LabelMap.from_folder(tmp_path)) == FOLDERS


def test_a_folder_without_classes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no class folders"):
        LabelMap.from_folder(tmp_path)
    with pytest.raises(
        LabelError, match="is not a directory; pass the directory that contains one sub-directory per class"
    ):
        LabelMap.from_folder(tmp_path / "missing")


@pytest.mark.parametrize(
    "value",
    [
        FOLDERS,
        {"0": FOLDERS[0], "2": FOLDERS[2], "1": FOLDERS[1]},
        {FOLDERS[1]: 1, FOLDERS[0]: 0, FOLDERS[2]: 2},
        {"format": 1, "classes": FOLDERS, "backbone": "efficientnet_lite0"},
    ],
)
def test_every_json_form_gives_the_same_map(tmp_path: Path, value: object) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(value))
    assert list(LabelMap.from_json(path)) == FOLDERS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("3", "expected a list"),
        ("{}", "at least one class"),
        ('{"1": "a", "2": "b"}', "2 classes must have the indices 0 to 1"),
        ('{"a": 0, "b": 0}', "1 distinct indices"),
        ('{"a": "x", "b": "y"}', "neither side is an index"),
    ],
)
def test_json_that_is_no_map_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(LabelError, match=message) as caught:
        LabelMap.from_json(path)
    assert "labels.json" in str(caught.value)


def test_a_missing_json_file_is_a_label_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot read the labels"):
        LabelMap.from_json(tmp_path / "none.json")


@pytest.mark.parametrize("count", [12, 1_500])
@pytest.mark.parametrize("top_k", [None, 0, 1, 5, 100])
def test_the_best_few_of_many_are_those_of_the_whole_ranking(count: int, top_k: int | None) -> None:
    probabilities = [(number * 7_919 % 97) / 97 for number in range(count)]  # with many ties
    ranked = sorted(range(count), key=lambda index: (-probabilities[index], index))
    assert list(most_probable(probabilities, top_k)) == ranked[:top_k]
