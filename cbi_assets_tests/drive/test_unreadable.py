"""What the system cannot read is named in one line each, and the rest loads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.drive.inventory import by_folder
from cbi_assets.drive.streams import SourceStream
from cbi_assets.errors import HomeError, UnreadableError
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    refusals,
    take_inventory,
)

CLI = [sys.executable, "-c", "from cbi_assets.cli import main; main()"]
LOCKED = "cannot be listed: Permission denied. Fix its permissions."


@pytest.mark.full
def test_inventory_names_unreadable_folder_and_file(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run `cbi inventory` in a process that lacks the permission to read them."""
    (drive / "good.dbn").write_bytes(dbn_file(bars(24)))
    (drive / "shut.dbn").write_bytes(dbn_file(bars(3)))
    (drive / "locked").mkdir()
    (drive / "locked" / "a.dbn").write_bytes(dbn_file(bars(3)))
    command = [*CLI, "inventory", "--json"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            _load_with_scandir_refused(project, drive, monkeypatch)
            return
        # Root can read everything unless it drops that capability.
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    environment = os.environ | {
        "CBI_HOME": str(project.home.root),
        "CBI_DRIVE": str(drive),
        "DAGSTER_HOME": "",
    }
    (drive / "locked").chmod(0)
    (drive / "shut.dbn").chmod(0)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        (drive / "locked").chmod(0o700)
        (drive / "shut.dbn").chmod(0o600)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["unlisted"] == [{"area": "drive", "path": "locked", "reason": LOCKED}]
    found = {file["path"]: (file["verdict"], file["reason"]) for file in document["files"]}
    assert found == {
        "good.dbn": ("bars", ""),
        "shut.dbn": (
            "refused",
            "cannot be read: Permission denied. Check its permissions and the drive.",
        ),
    }


def _load_with_scandir_refused(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listing(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        outcome = load_once(project)
    assert [(u.path, u.reason) for u in outcome.survey.unlisted] == [("locked", LOCKED)]
    assert outcome.has_failures


def test_unlistable_folder_fails_the_load_and_the_rest_loads(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drive / "good.dbn").write_bytes(dbn_file(bars(24)))
    (drive / "locked").mkdir()
    _load_with_scandir_refused(project, drive, monkeypatch)
    assert published(project) == expected_rows(bars(24))


@pytest.mark.full
def test_dangling_link_fails_the_load_and_the_rest_loads(project: Project, drive: Path) -> None:
    (drive / "good.dbn").write_bytes(dbn_file(bars(24)))
    (drive / "dangling.dbn").symlink_to(drive / "nowhere")
    outcome = load_once(project)
    assert [(u.path, u.reason) for u in outcome.survey.unlisted] == [
        ("dangling.dbn", "cannot be read: No such file or directory.")
    ]
    assert outcome.survey.unreadable == outcome.survey.unlisted
    assert [file.path for file in outcome.survey.files] == ["good.dbn"]
    assert published(project) == expected_rows(bars(24))


def test_full_disk_raises_and_does_not_refuse_the_file(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the landing zone must not be recorded as one of the file being read."""
    from cbi_assets.drive import landing, pieces, reader

    (drive / "good.dbn").write_bytes(dbn_file(bars(24), zstd=False))
    monkeypatch.setattr(pieces, "_RECORDS", 2)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 100)
    monkeypatch.setattr(landing, "BATCH_BYTES", 100)
    monkeypatch.setattr(landing, "PACK_RECORDS", 2)

    def write_pack(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(landing, "write_pack", write_pack)
        with pytest.raises(HomeError, match="the disk is full"):
            load_once(project)
    assert load_once(project).published == 24


@pytest.mark.full
def test_file_is_retried_if_the_system_could_not_read_it(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loose cable does not change the file's size or time."""
    (drive / "good.dbn").write_bytes(dbn_file(bars(24)))
    with monkeypatch.context() as loose:

        def fail(self: SourceStream) -> bytes:
            raise UnreadableError(f"cannot be read: {os.strerror(errno.EIO)}.")

        loose.setattr(SourceStream, "_read", fail)
        outcome = load_once(project)
    assert refusals(outcome) == {"good.dbn": "cannot be read: Input/output error."}
    assert outcome.published == 0
    assert load_once(project).published == 24


def test_missing_file_is_named_if_the_manifest_lists_it(project: Project, drive: Path) -> None:
    folder = put_job(drive, {"a.dbn": dbn_file(bars(3)), "b.dbn": dbn_file(bars(4))})
    (folder / "b.dbn").unlink()
    [row] = by_folder(take_inventory(project))
    assert row.verdict == "1 bars, 4 sidecar: b.dbn is in the manifest, not here"
