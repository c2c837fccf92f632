"""How well scores recognize photographs that show no dog: AUROC and what passes, by score and by kind of picture.

Trains the default head on the dogs' features (as a training job does), takes the rule that the job would ship, and
puts every candidate score to pictures of none of the classes: photographs, cats and other animals, textures, drawn
scenes (rejection/pictures.py says where from), dogs of breeds that were left out of training, and dogs of breeds that
another data set has. Intervals are 95%, bootstrapped over photographs; crops count with their photograph.

    python benchmarks/not_a_dog.py [--data FOLDER] [--features FOLDER] [--work FOLDER] [--write-card]

--data has dogs/ and oxford25/ (default: $DOGBREED_TEST_DATA, else ../shared/data beside the checkout). --features is
what a feature pass over dogs/ with the default backbone left; without it one is made (minutes on two cores). --work
keeps packages and features for the next time. --write-card writes docs/model_card.md.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rejection.card import card
from rejection.measures import passed_at
from rejection.pictures import collect
from rejection.results import Results, Run, Seen, Split
from rejection.scores import Known, candidates
from training_scripts.data import decoding, image_folder
from training_scripts.data import preprocessing as pictures
from training_scripts.data.batches import FeatureBatches
from training_scripts.features import extraction
from training_scripts.features.store import FeatureStore, SplitFeatures
from training_scripts.models import backbones, folding, heads, rejection
from training_scripts.models.network import Network
from training_scripts.models.rejection import KEPT
from training_scripts.training import runtime
from training_scripts.training.answers import joined
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.evaluation import evaluate_model
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.resume import RunIdentity
from training_scripts.training.stop_signal import StopFlag
from training_scripts.training.trainer import Trainer

REPOSITORY = Path(__file__).parents[1]
CARD = REPOSITORY / "docs" / "model_card.md"
BACKBONE = Hyperparameters().model
LEFT_OUT_EVERY = 6
KEPT_SHARES = (0.95, 0.97, 0.98, 0.99, 0.995)
BATCH = 32
# Of the 25 breeds, those that none of the 120 classes is.
NEW_BREEDS = ("001.American_bulldog", "002.American_pit_bull_terrier", "011.Havanese", "022.Shiba_inu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs all parts and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("DOGBREED_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default), help="folder with dogs/ and oxford25/")
    parser.add_argument("--features", type=Path, help="a features channel of dogs/")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "not-a-dog")
    parser.add_argument("--write-card", action="store_true", help=f"write {CARD.relative_to(REPOSITORY)}")
    options = parser.parse_args(arguments)
    runtime.prepare_libraries()
    options.work.mkdir(parents=True, exist_ok=True)
    store = FeatureStore.open(options.features) if options.features else _extracted(options.data, options.work)
    splits = {split: store.split(split) for split in image_folder.SPLITS}
    left_out = set(range(LEFT_OUT_EVERY // 2, len(store.classes), LEFT_OUT_EVERY))
    known_breeds, new_breeds = _of_another_data_set(options)
    results = Results(
        run=trained(splits, store.classes),
        groups=_groups(options),
        known_breeds=known_breeds,
        new_breeds=new_breeds,
        fewer=trained({name: _without(split, left_out) for name, split in splits.items()}, _others(store, left_out)),
        left_out=_of_classes(splits["test"], left_out),
        train=len(splits["train"].targets),
    )
    show(results)
    if options.write_card:
        CARD.write_text(card(results, backbone=BACKBONE), encoding="utf-8")
        print(f"written: {CARD}")


def trained(splits: Mapping[str, SplitFeatures], classes: Sequence[str]) -> Run:
    """The default head, trained and evaluated as in a training job, with all candidate scores."""
    runtime.seed_everything(0)
    head = heads.build(heads.HeadSpec(), width=splits["train"].features.shape[2], classes=len(classes))
    settings = Hyperparameters()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            Network(head),
            FeatureBatches(splits),
            settings,
            checkpoint=Checkpoint(Path(folder), run=RunIdentity()),
            stop=StopFlag(),
            report=_say_nothing,
        )
        outcome = trainer.run()
    evaluated = evaluate_model(trainer, outcome, epochs=settings.epochs, report=_say_nothing)
    assert evaluated.rejection and outcome.valid
    valid, test = (Split.of(evaluation) for evaluation in (outcome.valid, trainer.evaluate("test")))
    known = Known(*joined(lambda: trainer.features("train")), valid.logits, valid.targets, head[-1])
    return Run(
        classes=tuple(classes),
        head=head.eval(),
        rule=evaluated.rejection,
        temperature=evaluated.temperature,
        metrics=evaluated.metrics,
        scores=candidates(known, evaluated.rejection),
        valid=valid,
        test=test,
    )


def show(results: Results) -> None:
    """Prints every figure."""
    run, rule = results.run, results.run.rule
    print(f"{rule.method} above {rule.threshold:.4f}, fitted on {rule.parameters['pictures']:g} valid pictures to keep")
    print(f"{rule.kept:.1%}; measured against {len(run.test.targets)} test pictures of dogs")
    every = results.groups | {"all": results.all_groups()}
    table("AUROC, higher is better", run, every, lambda name, seen: f"{run.auroc(name, seen)}")
    table(
        "share that passes where 95% of the dogs do, lower is better",
        run,
        every,
        lambda name, seen: (
            f"{passed_at(run.score(name, run.test.features), run.score(name, seen.features), kept=0.95):.3f}"
        ),
    )
    title = f"share rejected at the threshold (fitted to keep {KEPT:.0%} of valid dogs), higher is better"
    table(title, run, every, lambda name, seen: f"{run.rejected(name, seen)}")
    near = {"left out of training": (results.fewer, results.left_out), "of another data set": (run, results.new_breeds)}
    for title, (own, seen) in near.items():
        print(f"\ndogs of breeds {title}: {len(seen)} pictures; AUROC, share rejected at the threshold")
        for name in own.scores:
            print(f"  {name:<26} {own.auroc(name, seen)}   {own.rejected(name, seen)}")
    print(f"\nshare of valid dogs to keep -> dogs kept: test, elsewhere; others rejected: {', '.join(every)}; errors")
    for share, kept, others in shares(results):
        # What is lost of dogs, the mean of both kinds, and what passes of all the others.
        errors = 1 - sum(kept) / len(kept) + 1 - others[-1]
        print(f"  {share:.3f} -> {_figures(kept)}; {_figures(others)}; {errors:.4f}")


def table(title: str, run: Run, groups: Mapping[str, Seen], cell: Callable[[str, Seen], str]) -> None:
    """Prints a row a score, a column a group."""
    print(f"\n{title}")
    heading = [f"{group} ({seen.photographs}; {len(seen)})" for group, seen in groups.items()]
    print(f"  {'photographs; with crops':<26}" + "".join(f"{column:>27}" for column in heading))
    for name in run.scores:
        print(f"  {name:<26}" + "".join(f"{cell(name, seen):>27}" for seen in groups.values()))


def shares(results: Results) -> Iterator[tuple[float, list[float], list[float]]]:
    """For each share of valid dogs to keep: the dogs that are kept, and the others that are rejected, by group."""
    run = results.run
    for share in KEPT_SHARES:
        rule = rejection.fit(run.valid.features, run.valid.targets, classes=len(run.classes), kept=share)
        assert rule

        def above(features: Tensor, rule: rejection.Rejection = rule) -> float:
            with torch.inference_mode():
                return float((rule.scores(run.head(features), features) > rule.threshold).double().mean())

        kept = [1 - above(features) for features in (run.test.features, results.known_breeds.features)]
        yield share, kept, [above(seen.features) for seen in (*results.groups.values(), results.all_groups())]


def _figures(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _extracted(folder: Path, work: Path) -> FeatureStore:
    """The features that a training job computes of the dogs."""
    return extraction.extract(
        image_folder.read_dataset(image_folder.find_splits(folder / "dogs")),
        backbone_name=BACKBONE,
        weights="pretrained",
        views=pictures.parse_views(Hyperparameters().views),
        folder=work / "features",
    )


def _without(split: SplitFeatures, left_out: set[int]) -> SplitFeatures:
    """A split without some classes; the others are renumbered."""
    rows = np.array([label not in left_out for label in split.targets.tolist()])
    kept = sorted(set(split.targets.tolist()) - left_out)
    labels = np.searchsorted(kept, split.targets[rows])
    return SplitFeatures(split.features[rows], labels, tuple(itertools.compress(split.names, rows)))


def _others(store: FeatureStore, left_out: set[int]) -> list[str]:
    return [name for index, name in enumerate(store.classes) if index not in left_out]


def _of_classes(split: SplitFeatures, classes: set[int]) -> Seen:
    rows = np.array([label in classes for label in split.targets.tolist()])
    return Seen(torch.from_numpy(split.features[rows, 0]), tuple(itertools.compress(split.names, rows)))


def _groups(options: argparse.Namespace) -> dict[str, Seen]:
    found = collect(options.work / "packages")
    seen = _featured([one.image for one in found], options.work)
    groups = {}
    for group in dict.fromkeys(one.group for one in found):
        rows = [row for row, one in enumerate(found) if one.group == group]
        groups[group] = Seen(seen[rows], tuple(found[row].origin for row in rows))
    return groups


def _of_another_data_set(options: argparse.Namespace) -> tuple[Seen, Seen]:
    """Oxford's dogs: of breeds that the model knows, and of breeds that it does not."""
    paths = sorted((options.data / "oxford25").glob("*/*/*"))
    seen = _featured([decoding.decode(path) for path in paths], options.work)
    new = [path.parent.name in NEW_BREEDS for path in paths]
    parts = []
    for wanted in (False, True):
        rows = [row for row, is_new in enumerate(new) if is_new == wanted]
        parts.append(Seen(seen[rows], tuple(str(paths[row]) for row in rows)))
    return parts[0], parts[1]


def _featured(images: Sequence[Image.Image], work: Path) -> Tensor:
    """Features of pictures [n, width], kept for the next time."""
    pixels = hashlib.sha256(BACKBONE.encode())
    for image in images:
        pixels.update(f"{image.size}".encode() + image.tobytes())
    cache = work / f"{pixels.hexdigest()[:16]}.pth"
    if cache.is_file():
        kept: Tensor = torch.load(cache, weights_only=True)
        return kept
    backbone = folding.for_inference(backbones.create(BACKBONE))
    preprocessing = backbones.spec(BACKBONE).preprocessing
    rows = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = [pictures.to_tensor(image, preprocessing) for image in images[start : start + BATCH]]
            rows.append(backbone(torch.stack(batch)))
    made = torch.cat(rows)
    torch.save(made, cache)
    return made


def _say_nothing(_: str) -> None:
    """Takes a line of a job's log."""


if __name__ == "__main__":
    main()
