"""What the command line says to a command line that makes no sense: the error first, and what was probably meant."""

from __future__ import annotations

import json
import shlex

import pytest

from dogbreed_sdk.cli import program
from dogbreed_sdk.cli.commands import COMMANDS, Command
from dogbreed_sdk.cli.parser import make_parser, parse
from dogbreed_sdk.cli.usage import commands_of
from dogbreed_sdk.errors import ConfigurationError


def said(*arguments: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "see"),
    [
        (
            ["trian"],
            "dogbreed has no command 'trian'; did you mean train? Commands: quickstart, doctor, data",
            "dogbreed",
        ),
        (["predict"], "dogbreed has no command 'predict'; did you mean classify?", "dogbreed"),
        (["data", "chekc"], "dogbreed data has no command 'chekc'; did you mean check?", "dogbreed data"),
        (["data"], "dogbreed data needs a command: sample, download, check", "dogbreed data"),
        (["xyzzy"], "dogbreed has no command 'xyzzy'. Commands: ", "dogbreed"),
        (["train", "d", "--batchsiz", "1"], "did you mean --batch-size?", "dogbreed train"),
        (["train", "d", "--early-stopping", "1"], "did you mean --patience?", "dogbreed train"),
        (["deploy", "j", "--environment", "A"], "write KEY=VALUE", "dogbreed deploy"),
        (["deploy", "j", "--environment", "1A=b"], "KEY=VALUE, where KEY is the name of a variable", "dogbreed deploy"),
        (["train", "d", "epochs", "3"], "unrecognized arguments: epochs 3; did you mean --epochs?", "dogbreed train"),
        (["train", "d", "--max-jobs", "3"], "--max-jobs is an option of dogbreed tune", "dogbreed train"),
        (["--json", "jobs"], "--json must follow the command's name: dogbreed jobs --json", "dogbreed jobs"),
        (["train"], "the following arguments are required: DATA", "dogbreed train"),
        (["train", "d", "--features", "storde"], "did you mean stored? choose stored, in-job or off", "dogbreed train"),
        (["tune", "d", "--strategy", "tpe"], "'tpe' is not a valid choice; choose Bayesian, Random", "dogbreed tune"),
    ],
)
def test_the_error_comes_first_with_what_was_probably_meant(arguments: list[str], error: str, see: str) -> None:
    first, last = said(*arguments).splitlines()
    assert error in first
    assert last == f"see: {see} --help"


@pytest.mark.parametrize("command", ["train", "jobs", "classify"])
def test_nothing_far_is_suggested(command: str) -> None:
    needed = {"train": ["d"], "jobs": [], "classify": ["endpoint", "rex.jpg"]}[command]
    assert said(command, *needed, "--photosynthesis", "A=b").splitlines()[0] == (
        "unrecognized arguments: --photosynthesis A=b"
    )


def test_wrong_use_is_a_line_of_error_and_with_json_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["trian"]) == 2
    plain = capsys.readouterr()
    assert plain.out == ""
    assert plain.err.startswith("error: dogbreed has no command 'trian'; did you mean train?")
    assert len(plain.err.splitlines()) == 2
    assert program.main(["jobs", "--jsn", "--json"]) == 2
    as_json = capsys.readouterr()
    document = json.loads(as_json.out)
    assert document["kind"] == "ConfigurationError"
    assert document["error"].startswith("unrecognized arguments: --jsn; did you mean --json?")
    assert as_json.err == f"error: {document['error']}\n"


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        (["--learning-rate", "1"], "hp:lr", "1"),
        (["--learning_rate=1"], "hp:lr", "1"),
        (["--backbone", "resnet18"], "model", "resnet18"),
        (["--batchsize", "8"], "hp:batch-size", "8"),
        (["--batch_size", "8"], "hp:batch-size", "8"),
        (["--Batch_Size=8"], "hp:batch-size", "8"),
        (["--train.save-interval", "5"], "hp:train.save_interval", "5"),
        (["--NO_WAIT"], "no_wait", True),
        (["--features", "In_Job"], "features", "in-job"),
    ],
)
def test_case_dashes_and_underscores_make_no_difference(written: list[str], name: str, value: object) -> None:
    assert vars(parse(["train", "d", *written]))[name] == value


def test_a_value_keeps_its_spelling_and_nothing_behind_two_dashes_is_an_option() -> None:
    assert parse(["train", "--name", "My_Job", "--", "--Data_Set"]).data.name == "--Data_Set"


def test_every_option_with_choices_takes_them_in_any_case() -> None:
    pending = [make_parser()]
    while pending:
        parser = pending.pop()
        pending += commands_of(parser).values()
        for action in parser._actions:
            if action.choices and not commands_of(parser):
                assert action.type is not None, f"{parser.prog} {action.option_strings}"
                assert [action.type(str(choice).upper()) for choice in action.choices] == list(action.choices)


def test_the_help_of_every_command_ends_with_an_example_that_parses() -> None:
    below = {entry.name: [entry] if isinstance(entry, Command) else list(entry.commands) for entry in COMMANDS}
    for group, found in below.items():
        for command in found:
            called = f"dogbreed {group}" if command.name == group else f"dogbreed {group} {command.name}"
            parser = parse(shlex.split(command.example)[1:]).parser
            assert parser.prog == called
            assert parser.format_help().endswith(f"\nexample: {command.example}\n")
