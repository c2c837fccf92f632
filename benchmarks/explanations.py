"""Are explanations true? Covering the hot part of a picture must cost more probability than covering another part.

    python benchmarks/explanations.py [--breeds 12] [--pictures 60] [--hidden 256] [DATA]

It trains a classifier on some classes of DATA (default: the photographs in $DOGBREED_TEST_DATA), and one on the sample
data set, and explains test pictures of both. In each, the hottest fifth of what the model sees is covered with the
picture's mean color; then a part of the same shape and size at random places, which may run over an edge to the other
side. It prints how much probability of the explained class each costs, mean over the pictures with a 95% interval.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dogbreed_sdk import BreedClassifier, BreedDataset, BreedTrainer, Explanation, Session
from dogbreed_sdk._util.progress import no_progress

COVERED_SHARE = 0.2
RANDOM_PLACES = 3
_EPOCHS = 12
_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Deletion:
    """What covering a fifth of one picture costs, in probability of the explained class.

    Attributes:
        hot: With the hottest fifth covered.
        elsewhere: With a part of the same shape covered, mean over random places.
    """

    hot: float
    elsewhere: float

    @property
    def difference(self) -> float:
        """How much more the hot part costs."""
        return self.hot - self.elsewhere


def deletions(
    classifier: BreedClassifier, pictures: Iterable[Path], *, share: float = COVERED_SHARE, seed: int = 0
) -> Iterator[Deletion]:
    """Measures pictures.

    Args:
        classifier: A model of this machine.
        pictures: Their paths.
        share: Share of the seen part that is covered.
        seed: Of the random places.
    """
    dice = random.Random(seed)
    for path in pictures:
        explained = classifier.explain(path, top_k=1)
        seen, heat = _seen(explained)
        hot = heat >= np.quantile(heat, 1 - share)
        before = explained.prediction.probability

        def cost(
            mask: Mask, explained: Explanation = explained, seen: Image.Image = seen, before: float = before
        ) -> float:
            return before - _probability(classifier, _covered(seen, mask), explained.class_folder)

        shifts = [(dice.randrange(heat.shape[0]), dice.randrange(heat.shape[1])) for _ in range(RANDOM_PLACES)]
        elsewhere = [cost(np.roll(hot, shift, (0, 1))) for shift in shifts]
        yield Deletion(cost(hot), statistics.fmean(elsewhere))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95% interval (normal approximation)."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return statistics.fmean(values), 1.96 * spread / math.sqrt(len(values))


def _seen(explained: Explanation) -> tuple[Image.Image, Pixels]:
    """The part of a picture that the model saw, and its heat."""
    left, top, right, bottom = (round(edge) for edge in explained.box)
    heat = explained.heatmap[top:bottom, left:right]
    # Ties, such as the parts that are clipped to 0, must not make the covered part larger.
    noise = np.random.default_rng(0).random(heat.shape, np.float32)
    return explained.picture.crop((left, top, right, bottom)), heat + noise * 1e-6


def _covered(picture: Image.Image, mask: Mask) -> Image.Image:
    pixels = np.asarray(picture).copy()
    pixels[mask] = pixels.reshape(-1, 3).mean(0).round()
    return Image.fromarray(pixels)


def _probability(classifier: BreedClassifier, picture: Image.Image, class_folder: str) -> float:
    scores = classifier.classify(picture, top_k=len(classifier.labels())).scores
    return next(score.probability for score in scores if score.class_folder == class_folder)


def _trained(data: BreedDataset, root: Path, hidden: int | None, use: Callable[[BreedClassifier], None]) -> None:
    with Session.local(root) as session:
        trainer = BreedTrainer(session, hidden=hidden or (), views="plain")
        job = trainer.train(data, {"epochs": _EPOCHS}, progress=no_progress).wait(progress=no_progress)
        with BreedClassifier.from_bundle(job.model_uri) as classifier:
            use(classifier)


def _some_classes(source: Path, breeds: int, target: Path) -> BreedDataset:
    """A copy of some classes of a data set, evenly spread over all."""
    names = BreedDataset.open(source).classes
    chosen = [names[len(names) * number // breeds] for number in range(min(breeds, len(names)))]
    for split in ("train", "valid", "test"):
        for name in chosen:
            shutil.copytree(source / split / name, target / split / name)
    return BreedDataset.from_folder(target)


def _report(name: str, data: BreedDataset, root: Path, options: argparse.Namespace) -> None:
    pictures = [picture.path for picture in data.pictures("test")]
    pictures = random.Random(0).sample(pictures, min(options.pictures, len(pictures)))

    def measure(classifier: BreedClassifier) -> None:
        found = list(deletions(classifier, pictures))
        hot, elsewhere, more = (
            interval([getattr(each, part) for each in found]) for part in ("hot", "elsewhere", "difference")
        )
        greater = sum(each.difference > 0 for each in found) / len(found)
        print(f"{name}, {len(data.classes)} classes, {len(found)} pictures, {COVERED_SHARE:.0%} covered:")
        print(f"  hot part        costs {hot[0]:.3f} +- {hot[1]:.3f} of the probability")
        print(f"  random part     costs {elsewhere[0]:.3f} +- {elsewhere[1]:.3f}")
        print(
            f"  difference            {more[0]:.3f} +- {more[1]:.3f}, positive in {greater:.0%} of the pictures",
            flush=True,
        )

    _trained(data, root, options.hidden, measure)


def main() -> None:
    """Prints the figures of both data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA")
    parser.add_argument("--breeds", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--hidden", type=int, help="width of a hidden layer of the head (default: a linear head)")
    options = parser.parse_args()
    photographs = options.data or Path(os.environ.get("DOGBREED_TEST_DATA") or _SHARED_DATA) / "dogs"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if photographs.is_dir():
            data = _some_classes(photographs, options.breeds, folder / "photographs")
            _report("photographs", data, folder / "root", options)
        _report("sample data set", BreedDataset.sample(folder / "sample"), folder / "root", options)


if __name__ == "__main__":
    main()
