"""The drawn sample data set: plans it, draws it, and recognizes an existing one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk._util.location import PACKAGE_PARENT
from dogbreed_sdk.datasets.sample import scenes
from dogbreed_sdk.datasets.sample.breeds import BREEDS, Breed
from dogbreed_sdk.datasets.sample.dogs import sitting, standing
from dogbreed_sdk.datasets.sample.easel import Color, Easel, shaded
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.atomic import replacing

# Raised whenever the drawings change, so that an older sample is not taken for a current one.
VERSION = 3
MANIFEST = "sample.json"

# A process takes as long to start as to draw a few pictures.
_LEAST_SHARE = 24
_SIZES = ((224, 224), (256, 224), (240, 240), (320, 240))
_SUPERSAMPLING = 1.6
# A pose, how often it is taken, and where it stands: x and y of its origin, as shares of the picture's sides, and half
# a head, as a share of the smaller side. The first shows head and shoulders.
_POSES = ((sitting, 4, 0.5, 0.76, 0.23), (sitting, 3, 0.5, 0.56, 0.145), (standing, 3, 0.46, 0.58, 0.15))
_EYES: tuple[Color, ...] = ((112, 72, 42), (84, 54, 34), (146, 100, 52), (60, 42, 32))
# Probability that a dog lacks one of its breed's markings, and that something stands in front of it. With these a
# linear head on EfficientNet-Lite0 features classifies about 88% of 8 breeds correctly (three seeds: 84 to 92%).
_MARK_LOST = 0.02
_COVERED = 0.15


@dataclass(frozen=True)
class Plan:
    """What fully determines a sample: the same plan draws the same pictures."""

    breeds: int
    per_breed: int
    seed: int
    version: int = VERSION

    @property
    def drawn(self) -> tuple[Breed, ...]:
        """The breeds, sorted as their folders are."""
        return tuple(sorted(BREEDS[: self.breeds], key=lambda breed: breed.folder))

    def split_of(self, number: int) -> str:
        """The split of a breed's n-th picture: a sixth each to validate and test, the rest to train."""
        held_out = self.per_breed // 6
        if number < self.per_breed - 2 * held_out:
            return "train"
        return "valid" if number < self.per_breed - held_out else "test"


def plan(*, breeds: int, per_breed: int, seed: int) -> Plan:
    """A checked plan; see BreedDataset.sample.

    Raises:
        ConfigurationError: A number outside its range.
    """
    if not 2 <= breeds <= len(BREEDS):
        raise ConfigurationError(f"breeds={breeds}: the sample has from 2 to {len(BREEDS)} breeds")
    if per_breed < 6:
        raise ConfigurationError(f"per_breed={per_breed}: at least 6 pictures a breed, so that each split gets one")
    return Plan(breeds, per_breed, seed)


def is_at(folder: Path, plan: Plan) -> bool:
    """Whether a folder holds exactly this sample (its manifest is written last)."""
    try:
        return bool(json.loads((folder / MANIFEST).read_text()) == asdict(plan))
    except (OSError, ValueError):
        return False


def draw(plan: Plan, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Draws every picture of a plan into <folder>/<split>/<breed>/<breed>_<number>.jpg, on all cores."""
    pictures = _pictures(plan)
    for target in {_path(plan, folder, *picture).parent for picture in pictures}:
        target.mkdir(parents=True, exist_ok=True)
    processes = min(available_cores(), len(pictures) // _LEAST_SHARE)
    if processes > 1:
        _draw_in_processes(plan, folder, processes, progress)
    # All pictures, or those that a process did not draw: what kept it from that is met, and raised, here.
    missing = [picture for picture in pictures if not _path(plan, folder, *picture).exists()]
    for number, picture in enumerate(missing, start=len(pictures) - len(missing) + 1):
        _draw_picture(plan, folder, *picture)
        if progress is not None:
            progress(number, len(pictures))
    (folder / MANIFEST).write_text(json.dumps(asdict(plan)))


def draw_share(plan: Plan, folder: Path, first: int, step: int) -> Iterator[None]:
    """Draws every `step`-th picture of a plan from the `first` one on; yields after each."""
    for picture in _pictures(plan)[first::step]:
        _draw_picture(plan, folder, *picture)
        yield


def _draw_in_processes(plan: Plan, folder: Path, processes: int, progress: Callable[[int, int], None] | None) -> None:
    """Draws the pictures in several processes, which print a byte for each."""
    program = [sys.executable, "-m", "dogbreed_sdk.datasets.sample", json.dumps(asdict(plan)), str(folder.absolute())]
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as drawn, ExitStack() as started:
        with os.fdopen(writing, "wb") as its:
            for first in range(processes):
                command = [*program, str(first), str(processes)]
                process = subprocess.Popen(command, cwd=PACKAGE_PARENT, stdin=subprocess.DEVNULL, stdout=its)
                started.enter_context(process)
                started.callback(process.kill)
        done = 0
        while chunk := drawn.read(1024):
            done += len(chunk)
            if progress is not None:
                progress(done, plan.breeds * plan.per_breed)


def _pictures(plan: Plan) -> list[tuple[Breed, int]]:
    return [(breed, number) for breed in plan.drawn for number in range(plan.per_breed)]


def _path(plan: Plan, folder: Path, breed: Breed, number: int) -> Path:
    name = breed.folder.partition(".")[2]
    return folder / plan.split_of(number) / breed.folder / f"{name}_{number:03d}.jpg"


def _draw_picture(plan: Plan, folder: Path, breed: Breed, number: int) -> None:
    # Seeded by the picture's own name, so that it does not depend on which others are drawn.
    rng = random.Random(f"{plan.version}/{plan.seed}/{breed.folder}/{number}")  # noqa: S311 - no cryptography
    image = draw_dog(breed, rng)
    with replacing(_path(plan, folder, breed, number), durable=False) as file:
        image.save(file, "JPEG", quality=rng.randint(72, 92))


def draw_dog(breed: Breed, rng: random.Random) -> Image.Image:
    """One picture of one dog of a breed: an individual, in a pose, a place and a light."""
    size = rng.choice(_SIZES)
    width, height = (round(side * _SUPERSAMPLING) for side in size)
    canvas = Easel(scenes.place((width, height), rng), rng)
    pose, _, x, y, unit = rng.choices(_POSES, weights=[often for _, often, *_ in _POSES])[0]
    easel = canvas.at(
        width * (x + rng.uniform(-0.17, 0.17)),
        height * (y + rng.uniform(-0.06, 0.06)),
        scale=min(width, height) * unit * rng.uniform(0.55, 1.16),
        turn=rng.uniform(-11, 11),
    )
    pose(easel.stretched(rng.choice((-1, 1)), 1), individual(breed, rng))
    if rng.random() < _COVERED:
        scenes.cover(canvas)
    return scenes.photograph(canvas.image, size, rng)


def individual(breed: Breed, rng: random.Random) -> Breed:
    """One dog of a breed: its coat, build and markings differ a little from the description."""
    tone, red = rng.uniform(0.74, 1.18), rng.uniform(-0.1, 0.1)

    def coat(color: Color) -> Color:
        r, g, b = shaded(color, tone)
        return min(255, round(r * (1 + red))), g, max(0, round(b * (1 - red)))

    return replace(
        breed,
        coat=coat(breed.coat),
        pale=shaded(breed.pale, rng.uniform(0.88, 1.04)),
        snout=max(0.0, breed.snout + rng.uniform(-0.18, 0.18)),
        head=breed.head * rng.uniform(0.9, 1.1),
        hair=max(0.05, breed.hair * rng.uniform(0.5, 1.3)),
        legs=breed.legs * rng.uniform(0.78, 1.2),
        girth=breed.girth * rng.uniform(0.88, 1.13),
        eyes=rng.choice(_EYES),
        marks=frozenset(mark for mark in (*sorted(breed.marks), "tongue") if rng.random() >= _MARK_LOST),
    )
