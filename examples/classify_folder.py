"""Classify every picture of a folder, eight at a time, and continue when one cannot be used.

python examples/classify_folder.py BUNDLE PICTURES

BUNDLE is a model.tar.gz, or the folder it was unpacked to. For an endpoint write
BreedClassifier("its-name") instead, with session=Session.local() for an endpoint of local SageMaker.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dogbreed_sdk import BreedClassifier, DogBreedError


def main(bundle: str, folder: str) -> None:
    """Prints one line per picture."""
    pictures = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    with BreedClassifier.from_bundle(bundle) as classifier:
        for path, result in zip(pictures, classifier.classify_many(pictures, on_error="return"), strict=True):
            if isinstance(result, DogBreedError):
                print(f"{path.name}: {result}")
            else:
                doubt = "  (probably none of these breeds)" if result.rejected else ""
                print(f"{path.name}: {result.label} {result.probability:.0%}{doubt}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
