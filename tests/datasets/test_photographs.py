"""The main job on real photographs of dogs, with pretrained weights; skipped where the photographs are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, Session, defaults, evaluate
from dogbreed_sdk._util.progress import no_progress

COUNTS = {"train": 14, "valid": 6, "test": 10}
BREEDS = ("Afghan_hound", "Beagle", "Dalmatian", "Pug", "Samoyed", "Rottweiler", "Chow")


@pytest.fixture(scope="module")
def photographs(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    """A few photographs of a few breeds, linked."""
    root = tmp_path_factory.mktemp("photographs")
    for split, count in COUNTS.items():
        folders = sorted(path for path in (test_data / "dogs" / split).iterdir() if path.name.endswith(BREEDS))
        assert len(folders) >= 5
        for folder in folders:
            (root / split / folder.name).mkdir(parents=True)
            for picture in sorted(folder.iterdir())[:count]:
                (root / split / folder.name / picture.name).symlink_to(picture)
    return BreedDataset.from_folder(root)


@pytest.mark.extras
def test_a_search_a_model_and_an_endpoint_recognize_breeds_they_have_seen_little_of(
    photographs: BreedDataset, session: Session
) -> None:
    assert photographs.check().ok
    trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE)
    tuning = trainer.tune(photographs, max_jobs=2, progress=no_progress).wait(progress=no_progress)
    job = trainer.train(photographs, tuning.best.hyperparameters, progress=no_progress).wait(progress=no_progress)
    with job.deploy(progress=no_progress) as deployment:
        result = evaluate(deployment.classifier(), photographs)
    assert result.n == len(photographs.pictures("test"))
    assert result.accuracy >= 0.9
    assert result.accuracy == pytest.approx(job.final_metrics["test:accuracy"], abs=1e-4)
    assert result.ece < 0.2


@pytest.mark.parametrize("folder", ["photos-full-size", "oxford25/train"])
def test_photographs_as_cameras_make_them_are_split_and_checked(test_data: Path, tmp_path: Path, folder: str) -> None:
    dataset = BreedDataset.from_folder(test_data / folder).split(tmp_path / "split")
    assert dataset.check().ok
    assert set(dataset.splits) == {"train", "valid", "test"}
    assert len(dataset.classes) == 25
