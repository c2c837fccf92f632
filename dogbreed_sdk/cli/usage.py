"""Errors in the use of the command line: one line that says what is wrong and suggests what was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import NoReturn

from dogbreed_sdk.errors import ConfigurationError

# Other names that people try, besides those of hyperparameters.
_OPTIONS = {
    "--head": "--hidden",
    "--env": "--environment",
    "--verbose": "--debug",
    "--trials": "--max-jobs",
    "--max-trials": "--max-jobs",
    "--metric": "--objective",
    "--job-name": "--name",
    "--endpoint-name": "--name",
}
_COMMANDS: dict[str, str] = {
    "predict": "classify",
    "fit": "train",
    "search": "tune",
    "hpo": "tune",
    "list": "jobs",
    "ls": "jobs",
    "status": "jobs",
    "cancel": "stop",
    "rm": "delete",
    "remove": "delete",
    "debug": "report",
    "test": "evaluate",
    "validate": "check",
}


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that the caller decides how to show them.

    Raises:
        ConfigurationError: From every method that parses; the last line names the help to read.
    """

    def error(self, message: str) -> NoReturn:
        """Raises the error that argparse would print below the whole usage."""
        if message.endswith("required: COMMAND"):
            message = f"{self.prog} needs a command: {', '.join(commands_of(self))}"
        raise ConfigurationError(f"{message}\nsee: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Suggests a command for an unknown one; argparse would only list all of them."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from training_scripts._util.suggestions import did_you_mean  # noqa: PLC0415 - for a wrong name only

            known = list(action.choices)
            hint = did_you_mean(str(value), known, synonyms=_COMMANDS) or "."
            self.error(f"{self.prog} has no command {value!r}{hint} Commands: {', '.join(known)}")
        super()._check_value(action, value)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser, by name; empty if it is a command itself."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """The options of a command, with their dashes."""
    return [name for action in parser._actions for name in action.option_strings]


def respelled(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The arguments, with their options spelled as the called command spells them.

    ``--Batch_Size`` becomes ``--batch-size``, and synonyms of hyperparameters their names: ``--learning-rate`` becomes
    ``--lr``.
    """
    called = _called(arguments, parser)
    if any(action.nargs == argparse.REMAINDER for action in called._actions):
        return list(arguments)  # the options may be those of the program that it runs
    known = [name[2:] for name in options_of(called) if name.startswith("--")]
    found = list(arguments)
    for place, argument in enumerate(found):
        if argument == "--":
            break
        name, equals, value = argument.partition("=")
        usual = _usual(name[2:], known) if name.startswith("--") else None
        if usual is not None:
            found[place] = f"--{usual}{equals}{value}"
    return found


def _usual(name: str, known: Sequence[str]) -> str | None:
    """The known option that a spelling stands for, if any."""
    if name in known:
        return name
    from training_scripts._util.suggestions import known_as  # noqa: PLC0415 - most options are spelled right
    from training_scripts.training.hyperparameters import SYNONYMS  # noqa: PLC0415 - likewise

    return known_as(name, known, synonyms=SYNONYMS)


def _called(arguments: Sequence[str], parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser of the command that the arguments call, as far as they name one."""
    for word in arguments:
        if word in commands_of(parser):
            parser = commands_of(parser)[word]
    return parser


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands that have no commands below them."""
    below = commands_of(parser).values()
    if not below:
        yield parser
    for command in below:
        yield from _leaves(command)


def refuse_unknown(
    unknown: Sequence[str], command: argparse.ArgumentParser, everything: argparse.ArgumentParser
) -> NoReturn:
    """Raises the error for arguments that a command does not have.

    Args:
        unknown: The arguments that were left over; the error is about the first.
        command: The command that was called.
        everything: The whole grammar, to find other commands that have the option.
    """
    from training_scripts._util.suggestions import did_you_mean, either  # noqa: PLC0415 - for a wrong name only
    from training_scripts.training.hyperparameters import RELATED  # noqa: PLC0415 - likewise

    synonyms = {f"--{word}": f"--{name}" for word, name in RELATED.items()} | _OPTIONS
    written = unknown[0].partition("=")[0]
    known = options_of(command)
    if written in known:
        command.error(f"{written} must follow the command's name: {command.prog} {written}")
    hint = did_you_mean(written, known, synonyms=synonyms)
    others = [other.prog for other in _leaves(everything) if written in options_of(other)]
    if others and not hint:
        hint = f"; {written} is an option of {either(others)}"
    command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
