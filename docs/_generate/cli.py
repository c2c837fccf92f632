"""The reference of the command line, from its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from _generate.frame import anchor, markdown, sections, table
from dogbreed_sdk.cli.commands import COMMANDS, Command, CommandGroup
from dogbreed_sdk.cli.parser import make_parser
from dogbreed_sdk.cli.usage import commands_of

_COMMON = "common options"
_WHICH = {
    (): "`--json` and `--debug`",
    ("local",): "`--json`, `--debug` and `--root`",
    ("aws",): "`--json`, `--debug` and those of AWS",
    ("local", "aws"): "all of them",
}
_DEFAULT = re.compile(r"\s*\(default:? ([^()]*(?:\([^()]*\)[^()]*)*)\)$")


@table("cli-commands")
def commands() -> str:
    """All commands, with what each does."""
    rows = [[f"[`{prog}`](#{anchor(prog)})", command.summary] for prog, command in _every()]
    return markdown(["Command", "What it does"], rows)


@table("cli-common-options")
def common_options() -> str:
    """The options that all commands share; those of AWS and of local SageMaker only where they have a meaning."""
    return _rows(_group(_parsers()["dogbreed train"], _COMMON))


@table("cli-reference")
def reference() -> str:
    """Every command with its arguments, options, defaults and an example."""
    parsers, shown = _parsers(), dict[str, str]()
    parts = []
    for entry in COMMANDS:
        if isinstance(entry, CommandGroup):
            parts += [f"## dogbreed {entry.name}", _sentence(entry.summary)]
        for prog, command in _of(entry):
            level = "###" if isinstance(entry, CommandGroup) else "##"
            parts.append(f"{level} {prog}\n\n{_command(parsers[prog], command, shown)}")
    return sections(*parts)


def _every() -> Iterator[tuple[str, Command]]:
    for entry in COMMANDS:
        yield from _of(entry)


def _of(entry: Command | CommandGroup) -> Iterator[tuple[str, Command]]:
    """What people type for a command, and the command; for each one below a common name."""
    if isinstance(entry, Command):
        yield f"dogbreed {entry.name}", entry
    else:
        for command in entry.commands:
            yield f"dogbreed {entry.name} {command.name}", command


def _parsers() -> dict[str, argparse.ArgumentParser]:
    """What people type -> the parser of that command, with all of its arguments."""
    found: dict[str, argparse.ArgumentParser] = {}
    for command in commands_of(make_parser()).values():
        found |= {parser.prog: parser for parser in (command, *commands_of(command).values())}
    return found


def _command(parser: argparse.ArgumentParser, command: Command, shown: dict[str, str]) -> str:
    """One command.

    Args:
        parser: Its parser.
        command: Its declaration.
        shown: Text of a group of options -> the command that it was shown with. Groups that several commands share are
            shown once; this call adds its own.
    """
    parts = [_sentence(command.summary), f"    {command.example}"]
    for group in parser._action_groups:
        text = "" if group.title == _COMMON else _rows(group)
        if not text:
            continue
        title = "" if group.title in ("positional arguments", "options") else f"{_sentence(str(group.title))[:-1]}:"
        if title and text in shown:
            parts.append(f"{title} as of [`{shown[text]}`](#{anchor(shown[text])}).")
        else:
            shown[text] = parser.prog
            parts += [title, text]
    return sections(*parts, _shared(command))


def _shared(command: Command) -> str:
    """Which of the common options a command has."""
    return f"[Common options](#common-options): {_WHICH[tuple(command.where)]}."


def _group(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    return next(group for group in parser._action_groups if group.title == title)


def _rows(group: argparse._ArgumentGroup) -> str:
    """The table of a group's arguments; empty if it has none."""
    actions = [action for action in group._group_actions if "--help" not in action.option_strings]
    rows = [[_spelling(action), *_default_and_help(action)] for action in actions]
    kind = "Argument" if actions and not actions[0].option_strings else "Option"
    return markdown([kind, "Default", "What it is"], rows) if rows else ""


def _spelling(action: argparse.Action) -> str:
    """An option with the placeholder of its value, or the name of an argument."""
    value = "" if action.nargs == 0 else _value(action)
    if not action.option_strings:
        return f"`{value}`"
    return "<br>".join(f"`{f'{name} {value}'.strip()}`" for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        name = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    elif action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        name = action.dest.upper()
    several = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
    return several.get(str(action.nargs), name)


def _default_and_help(action: argparse.Action) -> tuple[str, str]:
    """The default, which a help text usually states in parentheses at its end, and the rest of the help text."""
    text = (action.help or "") % {**vars(action), "prog": "dogbreed"}
    stated = _DEFAULT.search(text)
    if stated:
        return stated[1], text[: stated.start()]
    if action.required or action.default in (None, False, "", [], argparse.SUPPRESS):
        return "required" if action.required and action.option_strings else "", text
    return f"`{action.default}`", text


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
