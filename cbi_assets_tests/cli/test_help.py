"""Every command's help, and every page, has only examples that the options accept."""

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
    "config", "doctor", "alert", "version", "accept",
}  # fmt: skip


@pytest.fixture(params=sorted(COMMANDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_command_of_the_contract_exists() -> None:
    assert set(COMMANDS) >= CONTRACT


def parse(arguments: list[str], commands: dict[str, Any]) -> None:
    """Parse a command's arguments without running it; raises if it rejects them."""
    name, *given = arguments
    with commands[name].make_context(name, given):
        pass


def help_errors(name: str, commands: dict[str, Any]) -> list[str]:
    """Return what is wrong with a command's help: it must be a sentence and a valid example."""
    text = " ".join((commands[name].help or "").split())
    found = re.fullmatch(r"(.+)\. Example: cbi (.+)", text)
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


def test_every_commands_help_has_an_example_that_it_accepts(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert result.stderr == ""
    assert help_errors(name, COMMANDS) == []
    assert len(" ".join(COMMANDS[name].help.split())) <= 100


def test_help_errors_finds_each_kind_of_wrong_example() -> None:
    other = typer.Typer()

    def command(
        day: Annotated[int, typer.Option(help="a day")] = 1, json: bool = False
    ) -> None: ...

    for name, text in {
        "silent": None,
        "plain": "Do it.",
        "other": "Do it. Example: cbi silent",
        "unknown": "Do it. Example: cbi unknown --hour 3",
        "bad": "Do it. Example: cbi bad --day soon",
        "extra": "Do it. Example: cbi extra more",
        "valid": "Do it. Example: cbi valid --day 3",
    }.items():
        other.command(name, help=text)(command)
    commands = typer.main.get_command(other).commands  # type: ignore[attr-defined]
    found = {name: help_errors(name, commands) for name in commands}
    assert found.pop("valid") == []
    assert all(found.values()), found
    assert found["unknown"][0].startswith("No such option: --hour")


def test_every_option_has_help(name: str) -> None:
    without = [
        parameter.name
        for parameter in COMMANDS[name].params
        if not getattr(parameter, "help", None) and parameter.name != "help"
    ]
    assert without == []


def lines_of(page: str) -> list[str]:
    """Return the `cbi` commands of a page's shell blocks."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page, re.M | re.S)
    commands = (line.split(";") for block in blocks for line in block.splitlines())
    words = (word.split("#")[0].strip() for line in commands for word in line)
    return [re.sub(r"^(\.venv/bin/)?cbi ", "", w) for w in words if re.match(r"(\.v\S+/)?cbi ", w)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_accepted(page: Path) -> None:
    for line in lines_of(page.read_text()):
        for part in line.split(" && cbi "):
            given = ["1" if word == "N" else word for word in shlex.split(part)]
            if not given[0].startswith("-"):
                parse(given, COMMANDS)


def test_the_pages_have_commands() -> None:
    found = [line for page in PAGES for line in lines_of(page.read_text())]
    assert {line.split()[0] for line in found} >= {"load", "unload", "plan", "alert", "copy", "ui"}
