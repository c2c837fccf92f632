"""Takes the pictures of the documentation anew.

    python docs/take_pictures.py                    # all of them: a few minutes, and Chromium is needed
    python docs/take_pictures.py report mistakes    # these
    python docs/take_pictures.py --stale            # those whose sources have changed visibly since they were taken
    python docs/take_pictures.py --keep report      # this one still shows what its sources draw: only note that

The real commands run on the drawn sample, in a temporary home folder; pages are photographed in a headless
Chromium. Every picture is written to docs/pictures with a palette, which keeps it below 150 kB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from _pictures import state  # noqa: E402
from _pictures.recipes import RECIPES  # noqa: E402

LARGEST = 150_000
"""Bytes of a picture's file: a page with several of them still loads at once."""


def stale() -> list[str]:
    """The pictures that are missing, or whose sources have changed visibly since they were taken."""
    recorded = state.recorded()
    return [
        name
        for name, recipe in RECIPES.items()
        if not (state.FOLDER / f"{name}.png").is_file() or recorded.get(name) != state.digest(recipe.sources)
    ]


def take(names: list[str]) -> None:
    """Takes these pictures.

    Raises:
        ValueError: A picture does not fit into the limit.
    """
    from _pictures.studio import Studio  # noqa: PLC0415 - needs the tests' packages

    with tempfile.TemporaryDirectory(prefix="dogbreed-pictures-") as folder, Studio(Path(folder)) as studio:
        for name in names:
            path = state.FOLDER / f"{name}.png"
            save(RECIPES[name].draw(studio), path)
            keep([name])
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def save(image: Image.Image, path: Path) -> None:
    """Writes a picture, as sharp as fits into the limit, and then with as many colors as fit.

    Raises:
        ValueError: It does not fit at half its size either.
    """
    for scale in (1, 0.75, 0.5):
        smaller = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        for colors in (256, 128, 64):
            smaller.quantize(colors, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size <= LARGEST:
                return
    raise ValueError(f"{path} has {path.stat().st_size} bytes, more than {LARGEST}: show less of the page")


def keep(names: list[str]) -> None:
    """Records that these pictures show what their sources draw."""
    state.write({**state.recorded(), **{name: state.digest(RECIPES[name].sources) for name in names}})


def main(arguments: list[str]) -> None:
    """Takes the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures: {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--stale", action="store_true", help="only those that are stale")
    parser.add_argument("--keep", action="store_true", help="take none; note that they still show what is drawn")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(RECIPES))
    if unknown:
        parser.error(f"unknown pictures: {', '.join(unknown)}; valid names: {', '.join(RECIPES)}")
    names = options.names or (stale() if options.stale else list(RECIPES))
    (keep if options.keep else take)(names)


if __name__ == "__main__":
    main(sys.argv[1:])
