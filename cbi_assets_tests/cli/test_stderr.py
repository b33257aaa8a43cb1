"""Nothing on stderr that is not ours: no warnings of libraries, which a user cannot fix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cbi_assets_tests.helpers import bars, dbn_file, put_job
from cbi_assets_tests.load.lines import put_lines, record


def stderr_of(tmp_path: Path, *arguments: str) -> str:
    """Run `cbi` in a fresh interpreter, which imports every library for the first time."""
    settings = {"CBI_HOME": str(tmp_path / "home"), "CBI_DRIVE": str(tmp_path / "drive")}
    finished = subprocess.run(
        [sys.executable, "-m", "cbi_assets.cli", *arguments],
        env=os.environ | settings,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stderr


@pytest.mark.full
@pytest.mark.parametrize("arguments", [["--help"], ["load", "--help"]], ids=" ".join)
def test_help_prints_nothing_on_stderr(tmp_path: Path, arguments: list[str]) -> None:
    assert stderr_of(tmp_path, *arguments) == ""


@pytest.mark.parametrize(
    "commands",
    [["load"], pytest.param(["load", "build"], marks=pytest.mark.full)],
    ids=" and ".join,
)
def test_first_load_and_build_print_no_warning(
    tmp_path: Path, drive: Path, commands: list[str]
) -> None:
    put_job(drive, {"glbx-mdp3-20250106.ohlcv-1h.dbn.zst": dbn_file(bars(4))})
    # a job without metadata.json, for which Databento's client is imported
    put_lines(drive, [record(24)])
    for command in commands:
        printed = stderr_of(tmp_path, command)
        assert "PASS" in printed
        assert "Warning" not in printed
        assert "site-packages" not in printed
