"""The ``dogbreed`` command: a thin skin over the library, with nothing of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from dogbreed_sdk.cli.output import Outcome
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.errors import ConfigurationError, DogBreedError

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
# What shells expect of a program that was interrupted: 128 plus the number of SIGINT.
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name. Default: the process's own.

    Returns:
        0, or 1 where the work failed, or 2 for wrong use.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome: Outcome = options.run(options)
        _show(outcome, as_json=options.json)
    except BrokenPipeError:
        # The reader, such as head, has seen enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted; jobs that were started go on ('dogbreed jobs', 'dogbreed stop NAME')", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (DogBreedError, OSError, ValueError) as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        return EXIT_WRONG_USE if isinstance(error, ConfigurationError) else EXIT_FAILED
    return outcome.exit_code


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome.document, indent=2, default=str, allow_nan=False))
    else:
        outcome.print_text()
    sys.stdout.flush()
