"""Every command's help has an example that its options take; completion; wrong usage is 2."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cbi_assets.cli import app

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
CONTRACT = {
    "demo", "inventory", "load", "unload", "build", "check", "plan", "approve", "download", "ui",
    "config", "doctor", "alert", "version",
}  # fmt: skip


@pytest.fixture(params=sorted(COMMANDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_contracts_commands_are_there() -> None:
    assert set(COMMANDS) >= CONTRACT


def test_every_command_helps_with_an_example_that_it_takes(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert result.stderr == ""
    told = " ".join(COMMANDS[name].help.split())
    found = re.fullmatch(r"(.+)\. Example: cbi (.+)", told)
    assert found is not None, told
    given, *arguments = shlex.split(found[2])
    assert given == name
    # raises where the example has an option or an argument that the command does not take
    with COMMANDS[name].make_context(name, [a for a in arguments if a != "…"]):
        pass


def test_every_option_says_what_it_is(name: str) -> None:
    silent = [
        parameter.name
        for parameter in COMMANDS[name].params
        if not getattr(parameter, "help", None) and parameter.name != "help"
    ]
    assert silent == []


def test_wrong_usage_is_2_everywhere(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--no-such-option"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--no-such-option" in result.stderr


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("cbi in", ["inventory"]),
        ("cbi do", ["doctor", "download"]),
        ("cbi ui --re", ["--read-only"]),
    ],
)
def test_the_shell_completes(typed: str, completed: list[str]) -> None:
    words = typed.split()
    asked = {
        "_CBI_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['cbi']; from cbi_assets.cli import main; main()",
        ],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(finished.stdout.split()) == completed, finished.stderr
