"""Suggested commands call the program as it was called, for the same place."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed_sdk.aws.clients import SET_REGION
from dogbreed_sdk.cli import training_options
from dogbreed_sdk.cli.command_line import command_line, in_terms_of_commands
from dogbreed_sdk.cli.options import OF_AWS
from dogbreed_sdk.cli.parser import make_parser, parse

_VPC = ("--subnet", "s1", "--subnet", "s2", "--security-group", "g")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands in a folder the shell does not look into, and was called from there."""
    program = tmp_path / "bin" / "dogbreed"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "jobs"])
    monkeypatch.setenv("PATH", "/nowhere")
    return program


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["--root", "/a b"], ["--root", "'/a b'"]),
        (["--aws"], ["--aws"]),
        (
            ["--aws", "--region", "eu-west-1", "--profile", "dogs"],
            ["--aws", "--region", "eu-west-1", "--profile", "dogs"],
        ),
        (
            ["--aws", "--role", "dogs", "--bucket", "b", "--kms-key", "k", *_VPC],
            ["--aws", "--role", "dogs", "--bucket", "b", "--kms-key", "k", *_VPC],
        ),
    ],
)
def test_the_place_is_named_where_it_is_not_the_usual_one(
    given: list[str], expected: list[str], installed: Path
) -> None:
    assert command_line(parse(["jobs", *given]), "stop", "x") == " ".join([str(installed), "stop", "x", *expected])


def test_the_name_alone_is_enough_where_the_shell_finds_this_very_program(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert command_line(parse(["jobs"]), "jobs") == "dogbreed jobs"
    other = tmp_path / "other" / "dogbreed"
    other.parent.mkdir()
    other.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{installed.parent}")
    assert command_line(parse(["jobs"]), "jobs") == f"{installed} jobs"


def test_as_a_module_it_is_called_through_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/dogbreed_sdk/cli/__main__.py", "jobs"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_line(parse(["jobs"]), "jobs") == f"{tmp_path}/python -m dogbreed_sdk jobs"
    (tmp_path / "dogbreed").touch()
    assert command_line(parse(["jobs"]), "jobs") == f"{tmp_path}/dogbreed jobs"


@pytest.mark.parametrize(
    "given", [[], ["--spot"], ["--spot", "--max-wait", "3600s", "--instance-type", "ml.c5.xlarge"]]
)
def test_the_training_after_a_search_uses_the_same_instances(given: list[str]) -> None:
    again = training_options.of_instances(parse(["tune", "data", *given]))
    assert sorted(again) == sorted(given)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "Pass scheduler_role=… or set DOGBREED_SCHEDULER_ROLE.",
            "Pass --scheduler-role or set DOGBREED_SCHEDULER_ROLE.",
        ),
        ("your own image with image_uri=…", "your own image with --image-uri"),
        ("Pass region=… or set AWS_DEFAULT_REGION", "Pass --region or set AWS_DEFAULT_REGION"),
        ("Pass Session.aws(role=…) or set X", "Pass --role or set X"),
        ("Use framework_version='2.5' or '2.6'", "Use --framework-version '2.5' or '2.6'"),
        ("Pass name=… of it", "Pass --name of it"),
        ("in service: omit wait=False.", "in service: omit --no-wait."),
        ("DataCapture(uri=…) must be", "--capture-uri must be"),
        ("volume_size_gb must be at most 512", "--volume-size-gb must be at most 512"),
        ("serverless=… excludes data_capture=…: omit it", "--serverless-memory-mb excludes --capture: omit it"),
        ("s3://b/image_uri/x and 'image_uri' and my.image_uri", "s3://b/image_uri/x and 'image_uri' and my.image_uri"),
        ("learning_rate=… and unknown_word", "learning_rate=… and unknown_word"),
        (
            f"No region. {SET_REGION}",
            "No region. Pass --region or set AWS_DEFAULT_REGION, or leave --aws out to work without AWS.",
        ),
        ("Pass Session.aws(region='eu-west-1') or another bucket", "Pass --region eu-west-1 or another bucket"),
        ("no job of that name in Session.aws(region='x-1').", "no job of that name in SageMaker on AWS in x-1."),
    ],
)
def test_messages_name_options_instead_of_arguments(message: str, shown: str) -> None:
    assert in_terms_of_commands(message, parse(["deploy", "job", "--aws"])) == shown


def test_guessed_folders_are_confirmed_with_the_options_of_convert() -> None:
    message = "Confirm them with folders={'train': 'a b', 'test': 'c'}."
    shown = in_terms_of_commands(message, parse(["data", "convert", "source", "dest"]))
    assert shown == "Confirm them with --train-folder 'a b' --test-folder c."


def test_what_a_clean_up_needs_is_named_as_its_option() -> None:
    message = "Clean up without filters and with stop_jobs=True."
    assert in_terms_of_commands(message, parse(["cleanup"])) == "Clean up without filters and with --stop-jobs."


# Python's words for a session and for a value that an argument gets.
_PYTHON = re.compile(r"\bSession\.\w+|\bsession=|(?<![\w$-])[a-z]\w*=(?:…|True|False|None)")
# Parts of the messages that only programs get: no command pickles a session, makes a canary, ….
_FOR_PROGRAMS = (
    "A session created with boto3_session=…",
    "Pass variant=… of the canary",
    "Recorder(…) has both resume and overwrite",
    "already contains a recording",
    "percent must be",
    "session must be a Session",
    "there is no session to look for a job",
)


@pytest.mark.extras
def test_no_message_that_a_command_prints_has_words_that_only_python_takes() -> None:
    failures = importlib.import_module("_generate.failures")
    messages = {message for found in failures.messages_of().values() for message in found if _PYTHON.search(message)}
    messages -= {message for message in messages if any(part in message for part in _FOR_PROGRAMS)}
    commands = [options_of(parser) for parser in parsers(make_parser())]
    assert len(messages) > 20
    for text in sorted(messages):
        message = text.replace("folders=…", "folders={'train': 'a'}")
        left = [_PYTHON.findall(in_terms_of_commands(message, options)) for options in commands]
        assert [] in left, message  # an argument is an option of only some commands
        on_aws = [found for found, options in zip(left, commands, strict=True) if knows_aws(options)]
        assert not any("ession" in word for found in on_aws for word in found), message


def knows_aws(options: argparse.Namespace) -> bool:
    return any(action.dest == "region" for action in options.parser._actions)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for each in action.choices.values():
            yield from parsers(each)


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    return argparse.Namespace(parser=parser, root=None, aws=True, **dict.fromkeys(OF_AWS))
