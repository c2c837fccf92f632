"""A recording on disk is read as far as it is whole, and what is not is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.passing_time import set_time
from training_scripts.recording.trial import events, layout, tfrecord
from training_scripts.recording.trial import patterns as patterns_module
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.patterns import Patterns
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.run_facts import checked
from training_scripts.recording.trial.trial import RecordingError
from training_scripts.recording.trial.writer import TrialWriter


@pytest.fixture
def healthy(fixtures_folder: Path, tmp_path: Path) -> Path:
    """A copy of a recording by smdebug, which the test may spoil."""
    return Path(shutil.copytree(fixtures_folder / "smdebug-trials" / "healthy", tmp_path / "healthy"))


def write(folder: Path, *, first: int = 0, steps: int = 3, run: dict[str, object] | None = None) -> TrialWriter:
    writer = TrialWriter(folder)
    writer.describe(run or {"recorder": "builtin"}, {"losses": ["loss"]}, {"TRAIN": 1})
    made = [
        Step("TRAIN", step, step, 1000.0 + step, [("loss", float(step)), ("smdebug/reductions/l2/w", 2.0 * step)])
        for step in range(first, first + steps)
    ]
    made[-1].arrays.append(("image", np.full((20, 20), first, dtype=np.float32)))
    writer.write(made, seconds=0.0)
    return writer


def event_file(folder: Path, step: int) -> Path:
    return folder / layout.event_path(step)


def test_losses_tensors_reductions_and_collections_of_a_recording_by_smdebug(healthy: Path) -> None:
    trial = FileTrial(healthy)
    assert (trial.name, trial.ended, list(trial.problems), dict(trial.run)) == ("healthy", True, [], {})
    assert trial.tensor_names(collection="losses") == ["CrossEntropyLoss_output_0"]
    assert trial.tensor_names(regex="^gradient.*weight") == [
        "gradient/Sequential_0.weight",
        "gradient/Sequential_2.weight",
    ]
    losses = trial.tensor("CrossEntropyLoss_output_0").series()
    assert losses.steps.tolist() == list(range(60))
    assert losses.values[0] == pytest.approx(1.88, abs=0.01)
    assert losses.values[-1] == pytest.approx(0.03, abs=0.01)
    weight = trial.tensor("Sequential_0.weight")
    assert weight.steps() == list(range(0, 60, 5))
    assert weight.reduction("abs_mean").values[0] == pytest.approx(np.abs(weight.value(0)).mean(), rel=1e-6)
    table = trial.steps("EVAL")
    assert len(table.steps) == 12
    assert (np.diff(table.global_steps) > 0).all()
    assert (table.times > 1.7e9).all()


def test_a_recorded_variance_stands_in_for_the_deviation(tmp_path: Path) -> None:
    writer = TrialWriter(tmp_path)
    writer.write([Step("TRAIN", 0, 0, 0.0, [("smdebug/reductions/variance/w", 9.0)])], seconds=0.0)
    assert FileTrial(tmp_path).tensor("w").reduction("std").values.tolist() == [3.0]


@pytest.mark.parametrize("what", ["missing", "file", "empty", "root"])
def test_a_folder_that_is_no_recording_is_refused_by_name_with_what_was_expected(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "job"
    if what == "file":
        folder.write_text("x")
    elif what == "empty":
        folder.mkdir()
    elif what == "root":
        write(folder / "debug-output")
    with pytest.raises(RecordingError) as caught:
        FileTrial(folder)
    assert str(folder) in str(caught.value)
    expected = (
        "is not a directory" if what in {"missing", "file"} else "expected the folders events, index and collections"
    )
    assert expected in str(caught.value)
    assert ("debug-output has them" in str(caught.value)) == (what == "root")


def test_a_recording_that_has_only_begun_has_no_tensors_and_no_problems(tmp_path: Path) -> None:
    TrialWriter(tmp_path).describe({"recorder": "builtin"}, {"losses": ["loss"]}, {"TRAIN": 1})
    trial = FileTrial(tmp_path)
    assert (trial.tensor_names(), list(trial.problems), trial.ended) == ([], [], False)
    assert trial.refresh() is False


def test_a_truncated_event_file_gives_what_is_whole_and_says_so(healthy: Path) -> None:
    whole = FileTrial(healthy).tensor_names()
    path = event_file(healthy, 0)
    path.write_bytes(path.read_bytes()[:-300])
    trial = FileTrial(healthy)
    assert trial.tensor_names() == whole
    (problem,) = trial.problems
    assert problem.startswith("events/000000000000/000000000000_worker_0.tfevents: it ends within a record")
    assert 0 in trial.tensor("Sequential_0.weight").steps()
    assert len(trial.tensor("CrossEntropyLoss_output_0").series()) >= 59


def test_a_corrupt_record_ends_its_file_and_no_other(healthy: Path) -> None:
    path = event_file(healthy, 0)
    data = bytearray(path.read_bytes())
    data[3] ^= 0xFF
    path.write_bytes(data)
    trial = FileTrial(healthy)
    assert trial.tensor("CrossEntropyLoss_output_0").steps() == list(range(1, 60))
    assert any("header is damaged" in problem for problem in trial.problems)
    assert any("the event files of step 0 are missing or damaged" in problem for problem in trial.problems)


def test_a_lost_event_file_is_known_from_its_index(healthy: Path) -> None:
    for step in (3, 4, 5, 6):
        shutil.rmtree(event_file(healthy, step).parent)
    assert list(FileTrial(healthy).problems) == [
        "the event files of 4 steps (3, 4, 5, ...) are missing or damaged: their tensors are lost"
    ]


def test_a_missing_index_costs_a_sentence_only(healthy: Path) -> None:
    losses = FileTrial(healthy).tensor("CrossEntropyLoss_output_0").series().values
    shutil.rmtree(healthy / "index")
    trial = FileTrial(healthy)
    np.testing.assert_array_equal(trial.tensor("CrossEntropyLoss_output_0").series().values, losses)
    (problem,) = trial.problems
    assert "72 steps (0, 1, 2, ...) are missing: their tensors were read from the event files" in problem


@pytest.mark.parametrize("content", [b"", b"no json", b"[1]", b"[" * 100_000, None])
def test_missing_or_spoiled_collections_cost_a_sentence_only(healthy: Path, content: bytes | None) -> None:
    (path,) = (healthy / "collections").glob("*/*.json")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    trial = FileTrial(healthy)
    assert len(trial.tensor("CrossEntropyLoss_output_0").series()) == 60
    assert len(trial.problems) == 1
    assert "collections/" in trial.problems[0]
    with pytest.raises(RecordingError, match="healthy has no collection 'losses'"):
        trial.tensor_names(collection="losses")


def test_a_regular_expression_from_disk_cannot_keep_the_reader_busy(tmp_path: Path) -> None:
    write(tmp_path).end()
    (path,) = (tmp_path / "collections").glob("*/*.json")
    collections = json.loads(path.read_text())
    del collections["_meta"]["crc32"]  # another writer's, who seals nothing
    collections["collections"] = {
        "trap": {"include_regex": ["(a+)+$", "(" * 600, "[", 7], "tensor_names": ["l2", 3, "nowhere"]},
        "by pattern": {"include_regex": ["lo.s"], "tensor_names": None},
    }
    path.write_text(json.dumps(collections))
    trial = FileTrial(tmp_path)
    assert trial.collections == {"trap": [], "by pattern": ["loss"]}
    assert list(trial.problems) == ["collections/: 3 patterns are invalid, or take too long to match"]


@pytest.mark.parametrize("pattern", ["(?:a|aa)" * 40 + "b", "(a|a)?" * 25 + "b", "a?" * 28 + "a" * 28 + "c", "a*" * 9])
def test_choices_that_multiply_are_not_tried(pattern: str) -> None:
    patterns = Patterns({"a" * 60})
    assert patterns.matching(pattern) == set()
    assert patterns.refused == 1


def test_smdebugs_own_patterns_find_their_names() -> None:
    names = {"gradient/Net_0.weight", "Net_0.weight", "Net_0.bias", "CrossEntropyLoss_output_0", "a_relu_output_0"}
    patterns = Patterns(names)
    assert patterns.matching("^(?!gradient).*weight") == {"Net_0.weight"}
    assert patterns.matching("^gradient") == {"gradient/Net_0.weight"}
    assert patterns.matching(".*[Ll]oss_(?!input).*output") == {"CrossEntropyLoss_output_0"}
    assert patterns.matching(".*relu_output|.*bias") == {"a_relu_output_0", "Net_0.bias"}
    assert patterns.refused == 0


def test_patterns_have_so_much_time_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    set_time(monkeypatch, patterns_module, thread_time=lambda: float(next(now)))
    patterns = Patterns({f"a{number}" for number in range(50)})
    assert len(patterns.matching("a")) == 3
    assert patterns.matching("a") == set()
    assert patterns.refused == 2


@pytest.mark.parametrize("when", [{"step": 1 << 69}, {"mode_step": -7}, {"mode_step": 10**30}])
def test_a_step_that_is_none_costs_its_record_only(tmp_path: Path, when: dict[str, int]) -> None:
    write(tmp_path)
    path = event_file(tmp_path, 9)
    path.parent.mkdir()
    told = {"step": 9, "mode_step": 9, "mode": "TRAIN", "time": 1.0} | when
    path.write_bytes(tfrecord.frame(events.encode("loss", np.float32(1), **told)))  # type: ignore[arg-type]
    trial = FileTrial(tmp_path)
    assert trial.steps("TRAIN").steps.tolist() == [0, 1, 2]
    assert any("the step of loss is out of range" in problem for problem in trial.problems)


@pytest.mark.parametrize("name", ["run.json", "collections/000000000/worker_0_collections.json"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert f"{name} cannot be read: it is not a regular file" in list(FileTrial(tmp_path).problems)


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "trial")
    (tmp_path / "secret").write_text('{"recorder": "of another"}')
    (tmp_path / "trial" / "run.json").unlink()
    (tmp_path / "trial" / "run.json").symlink_to(tmp_path / "secret")
    trial = FileTrial(tmp_path / "trial")
    assert dict(trial.run) == {}
    assert trial.problems[0].startswith("run.json cannot be read: ")


def test_values_of_the_run_of_wrong_kinds_are_left_out_and_named(tmp_path: Path) -> None:
    run = {"recorder": "builtin", "epochs": "three", "sizes": {"train": "many"}, "classes": 7, "batch_size": 16}
    write(tmp_path, run={**run, "steps_per_epoch": None, "problems": ["steps 3 to 4 were lost", "x" * 9999]})
    trial = FileTrial(tmp_path)
    assert {name: trial.run.get(name) for name in run} == {"recorder": "builtin", "batch_size": 16} | dict.fromkeys(
        ("epochs", "sizes", "classes")
    )
    assert list(trial.problems) == [
        "steps 3 to 4 were lost",
        "x" * 500,
        "run.json: sizes is not an object of counts and is left out",
        "run.json: epochs is not a count and is left out",
        "run.json: classes is not a list and is left out",
    ]


@pytest.mark.parametrize(
    ("name", "refused", "accepted"),
    [
        ("framework", 3, "lightning"),
        ("task", "segmentation", "regression"),
        ("parameters", ["lr"], {"lr": 0.1}),
        ("workers", -2, 4),
        ("accumulation", 1.5, 8),
        ("optimizer_stepped", 12, True),
        ("dropout", float("nan"), 0.5),
        ("weight_decay", "1e-4", 1e-4),
        ("evaluated_in_training_mode", "false", False),
        ("output_shape", [20, -1], [20, 1]),
        ("target_shape", 20, [20]),
        ("class_counts", [3, "many"], [3, 4]),
        ("failure", {"kind": "ValueError"}, "ValueError: no"),
        ("notes", ["fine", None], ["fine"]),
    ],
)
def test_facts_of_a_loop_are_read_only_if_they_are_of_the_right_kind(
    name: str, refused: object, accepted: object
) -> None:
    kept, problems = checked({name: refused, "epochs": 3})
    assert dict(kept) == {"epochs": 3}
    assert [problem.split(" is not ")[0] for problem in problems] == [f"run.json: {name}"]
    assert checked({name: accepted}) == ({name: accepted}, [])


def test_a_recording_that_grows_is_read_on(tmp_path: Path) -> None:
    writer = write(tmp_path)
    trial = FileTrial(tmp_path)
    assert trial.tensor("loss").steps() == [0, 1, 2]
    assert trial.refresh() is False
    write(tmp_path, first=3)
    assert trial.tensor("loss").steps() == [0, 1, 2]
    assert trial.refresh() is True
    assert trial.tensor("loss").steps() == [0, 1, 2, 3, 4, 5]
    assert trial.tensor("w").reduction("l2").values.tolist() == [0, 2, 4, 6, 8, 10]
    assert trial.tensor("image").value(5).tolist() == np.full((20, 20), 3.0).tolist()
    assert trial.ended is False
    writer.end()
    assert trial.ended is True


def test_a_file_that_is_written_on_is_read_from_where_it_was_left(tmp_path: Path) -> None:
    write(tmp_path, steps=4)
    path = event_file(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    trial = FileTrial(tmp_path)
    before = len(trial.tensor("loss").series())
    assert 0 < before < 4
    assert "ends within a record" in trial.problems[0]
    with path.open("ab") as file:
        file.write(whole[300:])
    assert trial.refresh() is True
    assert len(trial.tensor("loss").series()) == 4
    assert list(trial.problems) == []


def test_steps_that_a_restarted_job_took_back_are_forgotten(tmp_path: Path) -> None:
    writer = write(tmp_path)
    write(tmp_path, first=3)
    trial = FileTrial(tmp_path)
    assert len(trial.tensor("loss").series()) == 6
    writer.drop_from(2)
    assert trial.refresh() is True
    assert trial.tensor("loss").steps() == [0, 1]


def test_links_and_pipes_are_no_event_files(tmp_path: Path) -> None:
    write(tmp_path / "trial")
    folder = event_file(tmp_path / "trial", 0).parent
    (tmp_path / "secret").write_bytes(b"x" * 100)
    (folder / "000000000001_worker_0.tfevents").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "000000000002_worker_0.tfevents")
    trial = FileTrial(tmp_path / "trial")
    assert trial.tensor("loss").steps() == [0, 1, 2]
    assert list(trial.problems) == []


def test_a_large_tensor_is_read_when_it_is_asked_for_and_its_loss_is_an_error_then(tmp_path: Path) -> None:
    write(tmp_path)
    trial = FileTrial(tmp_path)
    assert trial.tensor("image").value(2).shape == (20, 20)
    shutil.rmtree(tmp_path / "events")
    with pytest.raises(RecordingError, match="image at TRAIN step 2 cannot be read"):
        trial.tensor("image").value(2)


def test_a_wrong_name_and_a_wrong_step_say_what_there_is(tmp_path: Path) -> None:
    write(tmp_path)
    trial = FileTrial(tmp_path)
    with pytest.raises(RecordingError, match="has no tensor 'los'; did you mean loss"):
        trial.tensor("los")
    with pytest.raises(RecordingError, match="image has no value at TRAIN step 0: it was recorded at the steps 2"):
        trial.tensor("image").value(0)
    with pytest.raises(RecordingError, match="w has no value at TRAIN step 0: it was recorded only as l2"):
        trial.tensor("w").value(0)


def test_many_problems_are_counted(healthy: Path) -> None:
    for path in (healthy / "events").glob("*/*.tfevents"):
        path.write_bytes(path.read_bytes()[:-2])
    problems = FileTrial(healthy).problems
    assert len(problems) == 21
    assert problems[-1] == "... and 53 more"  # 72 files, and the steps that have nothing left


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_any_changed_byte_of_a_recording_of_ours_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path / "whole").end()
    (events_file,) = (tmp_path / "whole" / "events").glob("*/*")
    for place in range(0, events_file.stat().st_size, 7):
        folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / f"flipped-{place}"))
        flip(folder / events_file.relative_to(tmp_path / "whole"), place)
        trial = FileTrial(folder)
        [problem] = [sentence for sentence in trial.problems if "its checksum is wrong" in sentence]
        assert problem.startswith("events/000000000000/000000000000_worker_0.tfevents: ")
        found = len(trial.tensor("loss").series()), len(trial.tensor("w").reduction("l2")), trial.has("image")
        assert found in {(2, 3, True), (3, 2, True), (3, 3, False)}, place


def test_the_damaged_tensor_is_named_with_its_step(tmp_path: Path) -> None:
    write(tmp_path).end()
    content = event_file(tmp_path, 0).read_bytes()
    flip(event_file(tmp_path, 0), content.index(np.float32(1.0).tobytes()))
    trial = FileTrial(tmp_path)
    assert trial.tensor("loss").series().steps.tolist() == [0, 2]
    [problem] = trial.problems
    assert problem.endswith("loss at TRAIN step 1 is damaged and was left out (its checksum is wrong)")


def test_checksums_that_are_damaged_or_gone_cost_no_tensor(tmp_path: Path) -> None:
    write(tmp_path).end()
    (path,) = (tmp_path / "checksums").iterdir()
    flip(path, 3)
    trial = FileTrial(tmp_path)
    assert trial.tensor("loss").series().values.tolist() == [0.0, 1.0, 2.0]
    [problem] = trial.problems
    assert "could not be verified" in problem
    path.unlink()
    assert list(FileTrial(tmp_path).problems) == []


def test_a_description_that_was_changed_is_named(tmp_path: Path) -> None:
    write(tmp_path, run={"recorder": "builtin", "batch_size": 16}).end()
    path = tmp_path / "run.json"
    path.write_bytes(path.read_bytes().replace(b"16", b"17"))
    trial = FileTrial(tmp_path)
    assert trial.run == {"recorder": "builtin", "batch_size": 17}
    assert list(trial.problems) == ["run.json is damaged: its checksum is wrong, so its content may be wrong"]


def test_damage_that_is_met_late_costs_that_value_alone(tmp_path: Path) -> None:
    writer = write(tmp_path)
    later = [Step("TRAIN", step, step, 1000.0, arrays=[("image", np.ones((20, 20)))]) for step in (3, 4)]
    writer.write(later, seconds=0.0)
    writer.end()
    trial = FileTrial(tmp_path)
    image = trial.tensor("image")
    assert image.steps() == [2, 3, 4]
    flip(event_file(tmp_path, 3), 1000)
    assert [step for step, _ in image.values()] == [2, 4]
    assert len(image.reduction("mean")) == 2
    [problem] = trial.problems
    assert problem.startswith("image at TRAIN step 3 cannot be read and was left out: ")
    with pytest.raises(RecordingError, match="image has no value at TRAIN step 3"):
        image.value(3)


def test_a_restart_takes_the_checksums_of_what_it_takes_back(tmp_path: Path) -> None:
    write(tmp_path)
    writer = TrialWriter(tmp_path)
    writer.drop_from(2)
    assert list(FileTrial(tmp_path).problems) == []
    assert FileTrial(tmp_path).tensor("loss").series().steps.tolist() == [0, 1]
    writer.write([Step("TRAIN", step, step, 1000.0, [("loss", 1.0)]) for step in (2, 3)], seconds=0.0)
    writer.end()
    assert list(FileTrial(tmp_path).problems) == []
    assert FileTrial(tmp_path).tensor("loss").series().steps.tolist() == [0, 1, 2, 3]
    TrialWriter(tmp_path).drop_from(0)
    assert not list((tmp_path / "checksums").iterdir())
