"""What every foreign script of a local job starts with: this folder is on the script's PYTHONPATH.

AWS's containers do three things that scripts rely on, and so does `sitecustomize` here: the hook of smdebug finds the
script's model and loss by itself, `import smdebug` works, and records of loggers without a handler are printed. And
the process groups of a script that has finished are destroyed, without which it may abort.
The script may run in another Python than this one: nothing below this folder imports dogbreed_sdk.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
# Our own scripts record themselves.
_OUR_RECORDER = "training_scripts/recording"


def module_folders(code: Path) -> tuple[Path, ...]:
    """What a script's module search path begins with: this folder, or nothing for our own scripts.

    Args:
        code: The folder of the script's source.
    """
    return () if (code / _OUR_RECORDER).is_dir() else (_FOLDER,)
