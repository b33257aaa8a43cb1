"""A loaded file that its manifest, or its path on the drive, has since denied fails a check."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.load.load import LoadOutcome
from cbi_assets.load.unload import plan_unload
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import unload
from cbi_assets_tests.helpers import (
    JOB,
    NOW,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    run_check,
)

RECORDS = bars(24)
OTHERS = bars(5, price="46.01")
GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")


def load_unverified(project: Project, drive: Path) -> tuple[Path, str]:
    """Load a job without its manifest. Return its folder and the id of its file of ZL."""
    folder = put_job(
        drive, {"f.dbn": dbn_file(RECORDS), "good.dbn": dbn_file(GOOD)}, sidecars=("metadata",)
    )
    outcome = load_once(project)
    assert not outcome.has_failures
    rows = query(project, "SELECT path, trust, id FROM `ops.source_files` ORDER BY path").rows()
    assert [row[:2] for row in rows] == [
        (f"{JOB}/f.dbn", "unverified"),
        (f"{JOB}/good.dbn", "unverified"),
    ]
    return folder, rows[0][2]


def sources(outcome: LoadOutcome) -> dict[str, CheckResult]:
    return {r.root: r for r in outcome.checks if r.name == "source_is_databento"}


def put_manifest(drive: Path, files: dict[str, bytes]) -> None:
    """Write the manifest of these files, whatever the bytes on the drive are."""
    elsewhere = put_job(drive.parent / "elsewhere", files)
    (drive / JOB / "manifest.json").write_bytes((elsewhere / "manifest.json").read_bytes())
    for name in ("metadata.json", "symbology.json", "condition.json"):
        (drive / JOB / name).write_bytes((elsewhere / name).read_bytes())


def cut_manifest(drive: Path) -> None:
    (drive / JOB / "manifest.json").write_bytes(b'{"files": [')


def deny(drive: Path) -> None:
    put_manifest(drive, {"f.dbn": dbn_file(OTHERS), "good.dbn": dbn_file(GOOD)})


def replace_bytes(drive: Path) -> None:
    (drive / JOB / "f.dbn").write_bytes(dbn_file(RECORDS)[:-3])


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("change", [deny, replace_bytes])
def test_denied_file_fails_the_check_until_it_is_unloaded(
    project: Project, drive: Path, change: object
) -> None:
    _, file_id = load_unverified(project, drive)
    assert callable(change)
    change(drive)
    outcome = load_once(project)
    assert outcome.has_failures
    assert refusals(outcome).keys() == {f"{JOB}/f.dbn"}
    assert outcome.published == 0
    failed = sources(outcome)["ZL"]
    command = f"cbi unload --file {file_id[:12]}"
    assert not failed.passed
    assert failed.offenders == 24
    assert failed.actual == (
        f"24 non-Databento bars. Run `{command}` to remove those of {JOB}/f.dbn, which its "
        "manifest denies or other bytes replaced"
    )
    assert [(row["path"], row["bars"]) for row in failed.sample] == [(f"{JOB}/f.dbn", 24)]
    # The result stays the same without another load, and the file of the other root passes.
    with open_session(project, now=NOW) as session:
        results = {r.root: r.passed for r in run_check(session, "source_is_databento")}
    assert results == {"ZL": False, "ZS": True}
    with open_session(project, now=NOW) as session:
        removed = unload(session, plan_unload(session, "file", command.split()[-1]))
    assert removed.removed == 24
    assert all(result.passed for result in removed.checks if result.name == "source_is_databento")
    assert published(project) == GOOD_ROWS
    assert load_once(project).published == 0


@pytest.mark.full
def test_replaced_file_that_loads_fails_the_check_of_the_earlier_bytes(
    project: Project, drive: Path
) -> None:
    folder, file_id = load_unverified(project, drive)
    (folder / "f.dbn").write_bytes(dbn_file(OTHERS))
    failed = sources(load_once(project))["ZL"]
    assert not failed.passed
    assert file_id[:12] in failed.actual


@pytest.mark.full
def test_damaged_manifest_that_arrives_later_denies_the_files(
    project: Project, drive: Path
) -> None:
    load_unverified(project, drive)
    cut_manifest(drive)
    outcome = load_once(project)
    assert {root: result.passed for root, result in sources(outcome).items()} == {
        "ZL": False,
        "ZS": False,
    }
    # The manifest that the vendor wrote settles it.
    put_manifest(drive, {"f.dbn": dbn_file(RECORDS), "good.dbn": dbn_file(GOOD)})
    outcome = load_once(project)
    assert not outcome.has_failures
    assert all(result.passed for result in sources(outcome).values())


@pytest.mark.full
def test_manifest_that_arrives_later_verifies_the_files_it_lists(
    project: Project, drive: Path
) -> None:
    load_unverified(project, drive)
    pending = PendingEvents(project.home)
    pending.remove(pending.partitions())  # as if Dagster had them
    put_manifest(drive, {"f.dbn": dbn_file(RECORDS), "good.dbn": dbn_file(GOOD)})
    outcome = load_once(project)
    assert not outcome.has_failures
    assert (outcome.load_id, outcome.checks) == (None, [])
    found = query(project, "SELECT DISTINCT trust FROM `ops.source_files`")
    assert found["trust"].to_list() == ["verified"]


@pytest.mark.full
def test_file_that_is_gone_or_moved_is_not_denied(project: Project, drive: Path) -> None:
    folder, _ = load_unverified(project, drive)
    (folder / "good.dbn").unlink()
    (folder / "f.dbn").rename(folder / "g.dbn")
    outcome = load_once(project)
    assert not outcome.has_failures
    found = query(project, "SELECT DISTINCT trust FROM `ops.source_files`")
    assert found["trust"].to_list() == ["unverified"]
