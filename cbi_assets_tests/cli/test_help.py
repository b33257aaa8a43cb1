"""Every command's help has an example that its options take, and so has every page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from cbi_assets.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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


def parse(arguments: list[str], commands: dict[str, Any]) -> None:
    """Parse a command's arguments without running it; raises where it does not take them."""
    name, *given = arguments
    with commands[name].make_context(name, given):
        pass


def faults(name: str, commands: dict[str, Any]) -> list[str]:
    """What is wrong with a command's help: it must be a line and an example of that command."""
    told = " ".join((commands[name].help or "").split())
    found = re.fullmatch(r"(.+)\. Example: cbi (.+)", told)
    if found is None or "\n\n" in commands[name].help:
        return ["no line with an example"]
    given = shlex.split(found[2])
    if given[0] != name:
        return [f"an example of {given[0]}"]
    try:
        parse(given, commands)
    except typer.TyperException as error:
        return [error.format_message()]
    return []


def test_every_command_helps_with_an_example_that_it_takes(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert result.stderr == ""
    assert faults(name, COMMANDS) == []
    assert len(" ".join(COMMANDS[name].help.split())) <= 100


def test_a_command_without_a_sound_example_is_found() -> None:
    other = typer.Typer()

    def command(
        day: Annotated[int, typer.Option(help="a day")] = 1, json: bool = False
    ) -> None: ...

    for name, told in {
        "silent": None,
        "plain": "Do it.",
        "other": "Do it. Example: cbi silent",
        "unknown": "Do it. Example: cbi unknown --hour 3",
        "bad": "Do it. Example: cbi bad --day soon",
        "extra": "Do it. Example: cbi extra more",
        "sound": "Do it. Example: cbi sound --day 3",
    }.items():
        other.command(name, help=told)(command)
    commands = typer.main.get_command(other).commands  # type: ignore[attr-defined]
    found = {name: faults(name, commands) for name in commands}
    assert found.pop("sound") == []
    assert all(found.values()), found
    assert found["unknown"][0].startswith("No such option: --hour")


def test_every_option_says_what_it_is(name: str) -> None:
    silent = [
        parameter.name
        for parameter in COMMANDS[name].params
        if not getattr(parameter, "help", None) and parameter.name != "help"
    ]
    assert silent == []


def lines_of(page: str) -> list[str]:
    """The `cbi` lines of a page's blocks for a shell."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page, re.M | re.S)
    commands = (line.split(";") for block in blocks for line in block.splitlines())
    words = (word.split("#")[0].strip() for line in commands for word in line)
    return [re.sub(r"^(\.venv/bin/)?cbi ", "", w) for w in words if re.match(r"(\.v\S+/)?cbi ", w)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_type_is_taken(page: Path) -> None:
    for line in lines_of(page.read_text()):
        for part in line.split(" && cbi "):
            given = ["1" if word == "N" else word for word in shlex.split(part)]
            if not given[0].startswith("-"):
                parse(given, COMMANDS)


def test_the_pages_have_such_lines() -> None:
    found = [line for page in PAGES for line in lines_of(page.read_text())]
    assert {line.split()[0] for line in found} >= {"load", "unload", "plan", "alert", "copy", "ui"}
