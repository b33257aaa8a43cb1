"""What a shell completes: commands, options and values; in bash itself, and by zsh's and fish's
protocol."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cbi_assets.config.universe import load_universe
from cbi_assets.session import Project
from cbi_assets_tests.helpers import JOB, load_once
from cbi_assets_tests.load.lines import put_lines, record
from cbi_assets_tests.processes import call_cbi

PLANS = ("0123456789ab", "fedcba987654")
OFFERED = [
    ("cbi in", {"inventory"}),
    ("cbi do", {"doctor", "download"}),
    ("cbi ui --re", {"--read-only"}),
    ("cbi load --", {"--symbol", "--timeframe", "--all", "--json", "--wait", "--help"}),
    ("cbi load --symbol Z", {f"Z{c}" for c in "BCFLMNOQRSTW"}),
    ("cbi build --json --symbol ME", {"MES", "MET"}),
    ("cbi plan --symbol ZL --timeframe ", {"1d", "1h", "1m"}),
    ("cbi copy --to ", {"bigquery", "duckdb"}),
    ("cbi schedule re", {"remove"}),
    ("cbi download ", {*PLANS}),
    ("cbi approve 01", {PLANS[0]}),
    ("cbi download docs/", set()),
]


QUICK = [
    pytest.param(*case, marks=[] if place % 3 == 1 else pytest.mark.full)
    for place, case in enumerate(OFFERED)
]
"""Those that the quick tests ask of every shell's protocol; they ask bash's for all."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home with two plans."""
    (tmp_path / "home" / "plans").mkdir(parents=True)
    for name in PLANS:
        (tmp_path / "home" / "plans" / f"{name}.json").touch()
    return {**os.environ, "CBI_HOME": str(tmp_path / "home")}


def complete(environment: dict[str, str], **request: str) -> subprocess.CompletedProcess[str]:
    """Run `cbi` as a shell's completion does."""
    finished = call_cbi([], environment | request, Path.cwd())
    assert finished.stderr == ""
    return finished


@pytest.mark.parametrize(("typed", "offered"), OFFERED)
def test_bash_protocol_offers_the_matching_values(
    environment: dict[str, str], typed: str, offered: set[str]
) -> None:
    place = len(typed.split(" ")) - 1
    finished = complete(
        environment, _CBI_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(place)
    )
    assert set(finished.stdout.split()) == offered


@pytest.mark.parametrize(("typed", "offered"), QUICK)
def test_zsh_protocol_offers_the_matching_values(
    environment: dict[str, str], typed: str, offered: set[str]
) -> None:
    printed = complete(environment, _CBI_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed).stdout
    if not offered:
        assert printed == "_files\n"
    assert set(re.findall(r'(?:^|\(\()"([^"]*)"', printed, re.M)) == offered


@pytest.mark.parametrize(("typed", "offered"), QUICK)
def test_fish_protocol_offers_the_matching_values(
    environment: dict[str, str], typed: str, offered: set[str]
) -> None:
    request = {"_CBI_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": typed}
    printed = complete(environment, **request, _TYPER_COMPLETE_FISH_ACTION="get-args").stdout
    assert {row.partition("\t")[0] for row in printed.splitlines() if row} == offered
    # fish completes file names if cbi has nothing to offer
    is_ours = (
        complete(environment, **request, _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == 0
    )
    assert is_ours == bool(offered)


def test_fish_shows_a_roots_name_next_to_it(environment: dict[str, str]) -> None:
    request = {"_CBI_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    printed = complete(environment, **request, _TYPER_COMPLETE_ARGS="cbi load --symbol ZL").stdout
    assert printed.splitlines() == [f"ZL\t{load_universe().roots['ZL'].name}"]


@pytest.mark.full
def test_unload_completes_what_is_loaded(
    environment: dict[str, str], project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0)])
    load_id = load_once(project).load_id
    in_home = environment | {"CBI_HOME": str(project.home.root), "_CBI_COMPLETE": "complete_bash"}
    for typed, offered in (("--job GL", JOB), ("--load L", load_id)):
        words = {"COMP_WORDS": f"cbi unload {typed}", "COMP_CWORD": "3"}
        assert complete(in_home, **words).stdout.split() == [offered]


def test_completion_is_silent_if_the_settings_are_wrong(environment: dict[str, str]) -> None:
    request = {"_CBI_COMPLETE": "complete_bash", "COMP_WORDS": "cbi download ", "COMP_CWORD": "2"}
    assert complete(environment, CBI_WAREHOUSE="sqlite", **request).stdout.split() == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_runs_cbi(environment: dict[str, str], shell: str) -> None:
    script = complete(environment, _CBI_COMPLETE=f"source_{shell}").stdout
    assert f"_CBI_COMPLETE=complete_{shell}" in script


@pytest.mark.full
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_itself_completes_the_timeframes(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    cbi = tmp_path / "bin" / "cbi"
    cbi.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cbi_assets.cli "$@"\n')
    cbi.chmod(0o755)
    script = complete(environment, _CBI_COMPLETE="source_bash").stdout
    name = re.search(r"complete .*-F (\S+) cbi", script)
    assert name is not None, script
    line = f"{script}\nCOMP_WORDS=(cbi load --timeframe '') COMP_CWORD=3\n{name[1]} cbi\n"
    finished = subprocess.run(
        ["bash", "--norc", "-c", f'{line}echo "${{COMPREPLY[@]}}"'],
        env=environment | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout.split() == ["1d", "1h", "1m"], finished.stderr
