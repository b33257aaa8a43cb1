"""Wrong arguments: one line on stderr that names them and the help to read; exit status 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer

from cbi_assets import __version__
from cbi_assets.cli import app, main
from cbi_assets.cli import setup_commands as setup
from cbi_assets.session import Project
from cbi_assets_tests.cli.test_cli import Cbi, error_line
from cbi_assets_tests.cli.test_cli import cbi as cbi
from cbi_assets_tests.helpers import JOB, load_once, table
from cbi_assets_tests.load.lines import put_lines, record

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

WRONG = [
    ("--bogus", "No such option: --bogus. See `cbi --help`."),
    ("loda", "No such command 'loda'. Did you mean 'load', 'unload'? See `cbi --help`."),
    ("zzz", "No such command 'zzz'. See `cbi --help`."),
    (
        "load --timefrme 1h",
        "No such option: --timefrme (Possible options: --timeframe). See `cbi load --help`.",
    ),
    ("load --symbol", "Option '--symbol' requires an argument."),
    ("load --json=3", "Option '--json' does not take a value."),
    ("load ZL", "Got unexpected extra argument(s) (ZL). See `cbi load --help`."),
    (
        "load --wait -1",
        "Invalid value for '--wait': Input should be greater than or equal to 0. "
        "See `cbi load --help`.",
    ),
    (
        "build --from 2025-13-01",
        "Invalid value for '--from': '2025-13-01' is not a date like 2025-01-31. "
        "See `cbi build --help`.",
    ),
    (
        "approve 3f2a91 --by Ann --max-usd 5 --expires tomorrow",
        "Invalid value for '--expires': 'tomorrow' is not a date like 2025-01-31. "
        "See `cbi approve --help`.",
    ),
    (
        "build --from 2025-01-03 --to 2025-01-02",
        "--from 2025-01-03: is after --to 2025-01-02. No row is between them.",
    ),
    ("copy", "Missing option '--to'. See `cbi copy --help`."),
    ("download", "Missing argument 'PLAN'. See `cbi download --help`."),
    ("download 01 --standing", "PLAN does not go with --standing. See `cbi download --help`."),
    (
        "approve --by Ann --max-usd 5",
        "PLAN: needed to approve a plan. See `cbi approve --help`.",
    ),
    (
        "approve --standing --roots ZL --by Ann",
        "--schemas: needed to approve --standing. See `cbi approve --help`.",
    ),
    (
        "approve 01 --by Ann --max-usd 5 --until 2099-12-31",
        "--until: does not go with a plan. See `cbi approve --help`.",
    ),
    ("approve --revoke 01", "--by: needed to revoke. See `cbi approve --help`."),
    (
        "ui --port 99999",
        "Invalid value for '--port': Input should be less than or equal to 65535. "
        "See `cbi ui --help`.",
    ),
]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["cbi", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line for line, _ in WRONG])
def test_command_exits_2_and_names_the_wrong_argument(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert run(monkeypatch, *line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"cbi: {message}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_names_an_option_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(monkeypatch, name, "--no-such-option") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cbi: No such option: --no-such-option")
    assert line.endswith(f" See `cbi {name} --help`.")


def test_error_about_a_two_line_value_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "load", "--symbol", "Z\nL") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_wrong_option_in_a_process_of_its_own(cbi: Cbi) -> None:
    finished = cbi("load", "--bogus")
    assert finished.returncode == 2
    assert error_line(finished) == "cbi: No such option: --bogus. See `cbi load --help`."


@pytest.mark.parametrize("arguments", [["load", "--bogus"], ["load"]])
def test_debug_adds_the_stack_trace_and_keeps_the_status(cbi: Cbi, arguments: list[str]) -> None:
    finished = cbi("--debug", *arguments, CBI_DRIVE=None)
    assert finished.returncode == 2
    assert finished.stderr.startswith("Traceback")
    assert finished.stderr.splitlines()[-1].startswith("cbi: ")


def test_help_and_version_exit_0_and_print_on_stdout(cbi: Cbi) -> None:
    for arguments, text in (["--help"], "Usage: cbi "), (["load", "--help"], "Usage: cbi load "):
        finished = cbi(*arguments)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert text in finished.stdout
    assert cbi("version").stdout == cbi("--version").stdout == f"{__version__}\n"
    assert json.loads(cbi("version", "--json").stdout)["version"] == __version__


def test_drive_one_folder_too_deep_exits_2(cbi: Cbi, drive: Path) -> None:
    inside = drive / "TrainingData" / "raw"
    inside.mkdir(parents=True)
    for deep in (inside, inside.parent):
        finished = cbi("inventory", CBI_DRIVE=str(deep))
        assert finished.returncode == 2
        assert error_line(finished) == (
            f"cbi: CBI_DRIVE={deep}: is a folder of the drive {drive}, and paths start at the "
            f"drive's root. Set CBI_DRIVE={drive}."
        )


def test_no_command_shows_the_help_and_exits_2(cbi: Cbi) -> None:
    finished = cbi()
    assert (finished.returncode, finished.stderr) == (2, "")
    assert "Usage: cbi " in finished.stdout


@pytest.mark.full
def test_unload_changes_nothing_if_its_question_is_not_answered(
    cbi: Cbi, project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    finished = cbi("unload", "--job", JOB)
    assert finished.returncode == 1
    question, error = finished.stderr.splitlines()
    assert question.startswith("Remove 2 bars of 1 file (")
    assert error == "cbi: no answer, no changes were made. Use --yes to skip the question."
    assert table(project).height == 2


def test_ctrl_c_exits_130_and_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "load_settings", interrupted)
    assert run(monkeypatch, "config") == 130
    line = "cbi: stopped by SIGINT; what was not complete is rolled back. Retry.\n"
    assert capsys.readouterr() == ("", line)
