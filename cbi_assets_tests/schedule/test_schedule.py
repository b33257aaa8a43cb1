"""`cbi schedule`: what a scheduler starts runs as the user would run it, and only ours is removed.

The schedulers are fakes on PATH that keep what they are given and list their calls.
"""

from __future__ import annotations

import configparser
import datetime as dt
import json
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cbi_assets.cli import main
from cbi_assets.config.settings import Home
from cbi_assets.schedule import schedulers
from cbi_assets.schedule.cron import Cron
from cbi_assets.schedule.job import Job
from cbi_assets.schedule.systemd import Systemd

ODD = 'a b\'s "c" $d;#'
"""A folder whose name each scheduler would read otherwise."""

FAKES = {
    "systemctl": "",
    "launchctl": """
case $1 in
  print) [ -e "loaded-${2##*/}.plist" ] ;;
  bootstrap) touch "loaded-${3##*/}" ;;
  bootout) rm "loaded-${2##*/}.plist" ;;
esac""",
    "crontab": """
if [ "$1" = - ]; then cat > crontab.txt; exit; fi
if [ -e denied ]; then echo "you are not allowed to use this program" >&2; exit 1; fi
[ -e crontab.txt ] || { echo "no crontab for ann" >&2; exit 1; }
cat crontab.txt""",
}
FAKE_CBI = """#!/bin/sh
echo "$3 in $PWD for $CBI_HOME on $CBI_DRIVE"
case $3 in load) exit 1 ;; check) exit 3 ;; esac
"""


class Machine:
    """A machine with fake schedulers, and a project's folder with an odd name on it."""

    def __init__(self, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
        self.tmp_path = tmp_path
        self.patch = patch
        self.tools = tmp_path / "tools"
        self.project = tmp_path / ODD
        self.home = self.project / "home"
        for folder in (self.tools, self.project):
            folder.mkdir()
        for name, body in FAKES.items():
            self.write(self.tools / name, f'#!/bin/sh\ncd "$(dirname "$0")"\n'
                       f'echo "{name} $*" >> calls.txt{body}\n')  # fmt: skip
        python = self.project / "python"
        self.write(python, FAKE_CBI)
        patch.setattr(sys, "executable", str(python))
        patch.setenv("PATH", str(self.tools), prepend=":")
        patch.setenv("HOME", str(tmp_path / "user"))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        patch.chdir(self.project)
        (self.project / ".env").write_text("CBI_HOME=home\n")

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(self, line: str) -> int:
        self.patch.setattr(sys, "argv", ["cbi", "schedule", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    def calls(self) -> list[str]:
        """Return the calls of schedulers since the last call of this, names without their id."""
        path = self.tools / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [re.sub(r"-[0-9a-f]{8}", "", line) for line in lines]

    def files(self) -> set[Path]:
        """Return every file of the user and of the home."""
        folders = (self.tmp_path / "user", self.home)
        return {path for folder in folders for path in folder.rglob("*") if path.is_file()}

    def find(self, pattern: str) -> Path:
        (path,) = (self.tmp_path / "user").rglob(pattern)
        return path

    @property
    def crontab(self) -> Path:
        return self.tools / "crontab.txt"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def script_of(machine: Machine, kind: str = "nightly") -> str:
    return str(machine.home / "schedule" / f"{kind}.sh")


def cron_command(line: str) -> tuple[list[str], list[str]]:
    """Parse a line as cron does: when, and the words that its shell sees."""
    first = line.split(maxsplit=1)[0]
    *when, command = line.split(maxsplit=1 if first.startswith("@") else 5)
    assert not re.search(r"(?<!\\)%", command)
    return when, shlex.split(command.replace("\\%", "%"))


def systemd_words(value: str) -> list[str]:
    """Split a command line of a unit as systemd does, and resolve its escapes."""
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(value)]


def test_cron_gets_a_line_that_starts_the_script_and_keeps_the_others(machine: Machine) -> None:
    others = "MAILTO=ann\n# a comment\n0 4 * * * backup \\%d"
    machine.crontab.write_text(others)
    for at, minute in (("18:30", "30"), ("18:05", "5"), ("18:05", "5")):
        assert machine.run(f"install --with cron --at {at}") == 0
        *kept, mark, line = machine.crontab.read_text().splitlines()
        assert kept == others.splitlines()
        assert mark.startswith("# cbi-nightly-")
        assert cron_command(line) == (
            [minute, "18", "*", "*", "1-5"],
            ["/bin/sh", script_of(machine)],
        )
    assert machine.calls()[-1] == "crontab -l"  # the third changed nothing
    assert machine.run("remove --with cron") == 0
    assert machine.crontab.read_text() == others + "\n"
    assert not Path(script_of(machine)).exists()


def test_cron_changes_nothing_if_the_crontab_cannot_be_read(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.crontab.write_text("0 4 * * * backup\n")
    (machine.tools / "denied").touch()
    assert machine.run("install --with cron") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "cbi: crontab -l: failed with status 1 (you are not allowed to use this program). "
        "Correct that, then retry."
    )
    assert machine.crontab.read_text() == "0 4 * * * backup\n"


def test_percent_signs_and_specifiers_are_escaped(machine: Machine) -> None:
    home = Home(Path("/a%d b\\$HOME"))
    job = Job(home, "nightly", dt.time(18, 30), Path("/"), {})
    (lines,) = Cron().entries(job).values()
    assert cron_command(lines.splitlines()[1])[1] == ["/bin/sh", str(job.script)]
    service = next(text for path, text in Systemd().entries(job).items() if "service" in path)
    (command,) = re.findall(r"^ExecStart=(.*)$", service, re.M)
    assert systemd_words(command) == ["/bin/sh", str(job.script)]
    assert "Description=Load, build, check and send alerts (/a%%d b\\$HOME)" in service


@pytest.mark.parametrize(
    ("option", "kind", "unit"), [("", "nightly", "timer"), (" --ui", "ui", "service")]
)
def test_systemd_gets_units_that_it_accepts(
    option: str, kind: str, unit: str, machine: Machine
) -> None:
    for _ in range(2):
        assert machine.run(f"install --with systemd{option}") == 0
    enable = f"systemctl --user enable --now cbi-{kind}.{unit}"
    reload = "systemctl --user daemon-reload"
    restart = f"systemctl --user restart cbi-{kind}.{unit}"
    assert machine.calls() == [reload, enable, restart, reload, enable]
    service = configparser.ConfigParser(interpolation=None)
    service.read(machine.find("cbi-*.service"))
    assert systemd_words(service["Service"]["ExecStart"]) == ["/bin/sh", script_of(machine, kind)]
    if analyze := shutil.which("systemd-analyze"):
        units = [str(path) for path in (machine.tmp_path / "user").rglob("cbi-*")]
        done = subprocess.run([analyze, "verify", "--user", *units], capture_output=True, text=True)
        assert [line for line in done.stderr.splitlines() if "cbi-" in line] == []
    if kind == "nightly":
        timer = configparser.ConfigParser(interpolation=None)
        timer.read(machine.find("cbi-*.timer"))
        assert timer["Timer"]["OnCalendar"] == "Mon..Fri 18:30"
    assert machine.run("remove --with systemd") == 0
    assert machine.calls() == [f"systemctl --user disable --now cbi-{kind}.{unit}", reload]
    assert machine.files() == set()


@pytest.mark.parametrize(("option", "kind"), [("", "nightly"), (" --ui", "ui")])
def test_launchd_gets_a_property_list(option: str, kind: str, machine: Machine) -> None:
    for _ in range(2):
        assert machine.run(f"install --with launchd{option}") == 0
    path = machine.find("local.cbi-*.plist")
    agent = plistlib.loads(path.read_bytes())
    assert agent["Label"] == path.stem
    assert agent["ProgramArguments"] == ["/bin/sh", script_of(machine, kind)]
    if kind == "ui":
        assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    else:
        weekdays = [{"Weekday": day, "Hour": 18, "Minute": 30} for day in (1, 2, 3, 4, 5)]
        assert agent["StartCalendarInterval"] == weekdays
    calls = [call.split()[1] for call in machine.calls()]
    assert calls == ["print", "bootstrap", "print"]  # the second install changed nothing
    assert machine.run("install --with launchd --at 06:00") == 0
    calls = [call.split()[1] for call in machine.calls()]
    replaced = ["print", "bootstrap", "print", "bootout"]  # another kind, before the first is out
    assert calls == (replaced if kind == "ui" else ["print", "bootout", "bootstrap"])
    assert len(list(machine.tools.glob("loaded-*"))) == 1
    assert machine.run("remove --with launchd") == 0
    assert list(machine.tools.glob("loaded-*")) == []
    assert machine.files() == set()


def test_script_runs_every_verb_in_the_projects_folder_and_logs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_DRIVE", "the drive")
    monkeypatch.setenv("CBI_ALERT_URLS", "slack://secret")
    assert machine.run("install --with cron") == 0
    script = Path(script_of(machine))
    assert script.stat().st_mode & 0o077 == 0
    assert "secret" not in script.read_text()
    done = subprocess.run(
        ["/bin/sh", str(script)], cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")  # the worst of 1, 0, 3, 0
    _, *lines = script.with_suffix(".log").read_text().splitlines()
    where = f"in {machine.project} for {machine.home} on {machine.project / 'the drive'}"
    assert lines == [f"{verb} {where}" for verb in ("load", "build", "check", "alert")]


def test_install_names_secrets_that_scheduled_runs_will_not_see(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CBI_ALERT_URLS", "slack://secret")
    monkeypatch.setenv("DATABENTO_API_KEY", "db-secret")
    (machine.project / ".env").write_text("CBI_HOME=home\nDATABENTO_API_KEY=db-secret\n")
    assert machine.run("install --with cron") == 0
    said = capsys.readouterr().err
    assert "CBI_ALERT_URLS is set in the environment only: put it in .env" in said
    assert "DATABENTO_API_KEY" not in said


@pytest.mark.parametrize("name", ["launchd", "systemd", "cron"])
def test_show_prints_the_texts_and_changes_nothing(
    name: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.run(f"show --json --with {name}") == 0
    texts = json.loads(capsys.readouterr().out)["texts"]
    assert machine.calls() == []
    assert machine.files() == set()
    assert not machine.home.exists()
    assert machine.run(f"install --with {name}") == 0
    written = {place: Path(place).read_text() for place in texts if place != "crontab"}
    if name == "cron":
        written["crontab"] = machine.crontab.read_text()
    assert written == texts


def test_another_kind_replaces_the_first_and_other_homes_are_left_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.run("install --with cron") == 0
    with monkeypatch.context() as patch:
        patch.setenv("CBI_HOME", "second")
        assert machine.run("install --with cron") == 0
    of_second = machine.crontab.read_text().splitlines()[2:]
    assert machine.run("install --with cron --ui") == 0
    *first, mark, line = machine.crontab.read_text().splitlines()
    assert first == of_second
    assert cron_command(line) == (["@reboot"], ["/bin/sh", script_of(machine, "ui")])
    assert mark.startswith("# cbi-ui-")
    assert not Path(script_of(machine)).exists()
    assert machine.run("remove --with cron") == 0
    assert machine.crontab.read_text().splitlines() == of_second


@pytest.mark.parametrize(
    ("platform", "runs_systemd", "tools", "chosen"),
    [
        ("darwin", False, ["launchctl", "crontab"], "launchd"),
        ("linux", True, ["systemctl", "crontab"], "systemd"),
        ("linux", False, ["systemctl", "crontab"], "cron"),
        ("linux", True, ["crontab"], "cron"),
        ("linux", False, [], None),
    ],
)
def test_scheduler_is_the_machines_own(
    platform: str,
    runs_systemd: bool,
    tools: list[str],
    chosen: str | None,
    machine: Machine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine.patch.setattr(schedulers.sys, "platform", platform)
    machine.patch.setattr(
        schedulers, "_SYSTEMD_RUNS", tmp_path if runs_systemd else tmp_path / "no"
    )
    folder = tmp_path / "path"
    folder.mkdir()
    for tool in tools:
        (folder / tool).symlink_to(machine.tools / tool)
    machine.patch.setenv("PATH", str(folder))
    status = machine.run("show --json")
    captured = capsys.readouterr()
    if chosen is None:
        assert status == 2
        assert captured.err.startswith("cbi: this machine has neither systemd nor cron. ")
    else:
        assert json.loads(captured.out)["scheduler"] == chosen


def test_install_of_a_scheduler_that_is_not_there_is_one_line(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.patch.setenv("PATH", str(tmp_path))
    assert machine.run("install --with launchd") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cbi: launchctl: not found on PATH. ")
