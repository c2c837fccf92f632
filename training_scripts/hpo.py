"""Entry point of one trial of a search: a training run that records nothing but its metrics."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from training_scripts.train_model import run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trial; returns its exit status."""
    return run("hpo", argv)


if __name__ == "__main__":
    sys.exit(main())
