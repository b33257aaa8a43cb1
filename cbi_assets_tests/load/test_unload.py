"""Unload removes the bars of one file, load or job; a reload restores the same tables."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from cbi_assets import cli
from cbi_assets.errors import UsageError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.load.unload import Scope, UnloadOutcome, plan_unload
from cbi_assets.pipeline.asset_keys import RAW_KEY
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.session import Project, exclusive_lock, open_session
from cbi_assets.verbs import unload
from cbi_assets_tests.helpers import JOB, NOW, load_once, open_warehouse, query, table
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

LEDGERS = ("ops.loads", "ops.source_files", "ops.quarantined_bars", "ops.bar_conflicts")


def run_unload(project: Project, scope: Scope, value: str) -> UnloadOutcome:
    with open_session(project, now=NOW) as session:
        return unload(session, plan_unload(session, scope, value))


def ledger(project: Project, name: str) -> pl.DataFrame:
    """Return a ledger table without the load's ID and time."""
    frame = query(project, f"SELECT * FROM `{name}`")
    frame = frame.drop(name for name in ("load_id", "loaded_at") if name in frame.columns)
    return frame.sort(pl.all().exclude("symbols", "version", "published"))


def ledgers_and_bars(project: Project) -> dict[str, pl.DataFrame]:
    ledgers = {name: ledger(project, name) for name in LEDGERS}
    return ledgers | {timeframe: table(project, timeframe) for timeframe in ("1h", "1m")}


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name, frame in expected.items():
        assert found[name].to_dicts() == frame.to_dicts(), name


def books_balance(project: Project) -> bool:
    with open_warehouse(project) as warehouse:
        return set(books_by_file(warehouse)["difference"]) <= {0}


def rows_of_file(project: Project, file_id: str, name: str) -> int:
    column = "id" if name == "ops.source_files" else "source_file_id"
    return query(project, f"SELECT {column} FROM `{name}` WHERE {column} = '{file_id}'").height


@pytest.fixture
def two_jobs(project: Project, drive: Path) -> tuple[str, str]:
    """Load bars 0 to 3 in one job and 2 to 5 in another, and return their files' IDs.

    Each has a malformed bar too, and the second a bar of ZS.
    """
    first = put_lines(drive, [*(record(n) for n in range(4)), record(9, volume="-1")])
    second = put_lines(
        drive,
        [*(record(n) for n in range(2, 6)), record(8, volume="-1"), record(0, "ZS.v.0")],
        "b.json",
        LATER_JOB,
    )
    load_once(project)
    return first, second


def published_places(project: Project) -> list[tuple[str, int]]:
    """Return the symbol and `record`'s place of each published 1h bar."""
    return [(row["symbol"], row["ts_event"].hour - 15) for row in table(project).to_dicts()]


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("scope", ["file", "job"])
def test_unload_removes_the_bars_and_ledger_rows_of_a_file_or_job(
    project: Project, two_jobs: tuple[str, str], scope: Scope
) -> None:
    first, second = two_jobs
    outcome = run_unload(project, scope, LATER_JOB if scope == "job" else second[:12])
    assert (outcome.removed, outcome.reopened) == (3, 0)
    assert outcome.partitions == (("ZL", "1h"), ("ZS", "1h"))
    assert published_places(project) == [("ZL.v.0", n) for n in range(4)]
    assert set(table(project)["source_file_id"]) == {first}
    assert [rows_of_file(project, second, name) for name in LEDGERS[:3]] == [0, 0, 0]
    assert [rows_of_file(project, first, name) for name in LEDGERS[:3]] == [1, 1, 1]
    assert books_balance(project)
    assert not any(result.failed for result in outcome.checks)


@pytest.mark.full
def test_unload_removes_the_bars_of_a_load(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    put_lines(drive, [record(2)], "b.json")
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    later = load_once(project, now=NOW + dt.timedelta(hours=1))
    assert later.load_id is not None
    outcome = run_unload(project, "load", later.load_id)
    assert outcome.removed == 2
    assert published_places(project) == [("ZL.v.0", 0), ("ZL.v.0", 1)]
    assert table(project, "1m").is_empty()
    assert later.load_id not in set(query(project, "SELECT load_id FROM `ops.loads`")["load_id"])


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize("which", [0, 1])
def test_reload_restores_tables_after_unload(
    project: Project, two_jobs: tuple[str, str], which: int
) -> None:
    before = ledgers_and_bars(project)
    run_unload(project, "file", two_jobs[which])
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert_same(ledgers_and_bars(project), before)
    assert books_balance(project)


@pytest.mark.full
def test_unload_reopens_duplicates_of_the_removed_bars_in_another_file(
    project: Project, drive: Path, two_jobs: tuple[str, str]
) -> None:
    first, second = two_jobs
    outcome = run_unload(project, "file", first)
    assert (outcome.removed, outcome.reopened) == (4, 2)  # the second file repeats two of the four
    (entry,) = query(
        project, "SELECT duplicates, reopened, published FROM `ops.loads` WHERE root = 'ZL'"
    ).to_dicts()
    assert entry == {"duplicates": 0, "reopened": 2, "published": 2}
    assert books_balance(project)

    (drive / JOB / "a.json").unlink()
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert published_places(project) == [*(("ZL.v.0", n) for n in range(2, 6)), ("ZS.v.0", 0)]
    assert set(table(project)["source_file_id"]) == {second}
    assert books_balance(project)


def test_unload_reopens_conflicts_with_the_removed_bars(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    put_lines(drive, [record(1, volume="7"), record(2)], "b.json")
    load_once(project)
    before = ledgers_and_bars(project)
    first = table(project)["source_file_id"][0]

    outcome = run_unload(project, "file", first)
    assert outcome.reopened == 1
    assert query(project, "SELECT * FROM `ops.bar_conflicts`").is_empty()
    assert not any(result.failed for result in outcome.checks)
    assert books_balance(project)

    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert_same(ledgers_and_bars(project), before)


@pytest.mark.full
def test_load_publishes_the_conflicting_version_if_the_other_is_gone(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(1)])
    second = put_lines(drive, [record(1, volume="7")], "b.json")
    load_once(project)
    run_unload(project, "file", table(project)["source_file_id"][0])
    (drive / JOB / "a.json").unlink()
    outcome = load_once(project, now=NOW + dt.timedelta(hours=1))
    assert table(project)["volume"].to_list() == [7]
    assert table(project)["source_file_id"].to_list() == [second]
    assert not any(result.failed for result in outcome.checks)


@pytest.mark.full
def test_file_is_partial_if_one_of_its_loads_is_unloaded(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0"), record(1, "ZS.v.0")])
    first = load_once(project, partitions=[("ZL", "1h")])
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert first.load_id is not None
    run_unload(project, "load", first.load_id)
    (file,) = query(project, "SELECT status, not_loaded FROM `ops.source_files`").to_dicts()
    assert file == {"status": "partial", "not_loaded": 1}
    assert set(table(project)["root"]) == {"ZS"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scope", ["file", "load", "job"])
@pytest.mark.parametrize("value", ["beef", ""])
def test_unload_fails_if_nothing_of_that_name_is_loaded(
    project: Project, two_jobs: tuple[str, str], scope: Scope, value: str
) -> None:
    with pytest.raises(UsageError, match=f"--{scope} {value}"):
        run_unload(project, scope, value)


@pytest.mark.full
@pytest.mark.parametrize("scope", ["load", "job"])
def test_unload_fails_if_a_load_or_job_is_abbreviated(
    project: Project, two_jobs: tuple[str, str], scope: Scope
) -> None:
    (load_id,) = set(query(project, "SELECT load_id FROM `ops.loads`")["load_id"])
    full_id = load_id if scope == "load" else JOB
    with pytest.raises(UsageError, match="nothing of it is loaded"):
        run_unload(project, scope, full_id[:-1])


def test_unload_fails_if_an_abbreviated_id_is_ambiguous(project: Project, drive: Path) -> None:
    # two of these seventeen IDs, which are the files' hashes, start with the same digit
    ids = [put_lines(drive, [record(n)], f"{n}.json") for n in range(17)]
    load_once(project)
    digit = next(d for d in "0123456789abcdef" if sum(i.startswith(d) for i in ids) == 2)
    with pytest.raises(UsageError, match="it matches more than one file's ID"):
        run_unload(project, "file", digit)


@pytest.mark.parametrize(
    ("answer", "exit_code", "left"), [("n\n", 1, 4), ("y\n", 0, 0), (None, 0, 0)]
)
def test_unload_command_asks_for_confirmation(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    exit_code: int,
    left: int,
) -> None:
    put_lines(drive, [record(n) for n in range(4)])
    load_once(project)
    monkeypatch.setenv("CBI_HOME", str(project.home.root))
    monkeypatch.setenv("CBI_DRIVE", str(drive))
    arguments = ["unload", "--job", JOB, *([] if answer else ["--yes"])]
    result = CliRunner().invoke(cli.app, arguments, input=answer)
    assert result.exit_code == exit_code
    assert ("Remove 4 bars of 1 file (" in result.output) == (answer is not None)
    assert table(project).height == left
    with open_instance(project.home) as instance:
        event = instance.get_latest_materialization_event(RAW_KEY)
    if left:
        assert event is None
        return
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == "ZL|1h"
    assert event.asset_materialization.metadata["dagster/partition_row_count"].value == 0
    assert PendingEvents(project.home).partitions() == set()


@pytest.mark.parametrize("arguments", [[], ["--file", "a", "--job", "b"]])
def test_unload_command_fails_unless_one_scope_is_given(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["unload", *arguments])
    assert isinstance(result.exception, UsageError)


@pytest.mark.full
def test_load_profiles_and_checks_partitions_changed_by_an_unload(
    project: Project, drive: Path, two_jobs: tuple[str, str]
) -> None:
    """Dagster shows the partitions of before the unload, so even an empty load must report them."""
    with exclusive_lock(project.home):
        PendingEvents(project.home).remove(PendingEvents(project.home).partitions())
    run_unload(project, "file", two_jobs[1])
    for path in drive.rglob("b.json"):
        path.unlink()
    outcome = load_once(project)
    assert outcome.published == 0
    assert [(p.root, p.timeframe, p.row_count) for p in outcome.profiles] == [("ZL", "1h", 4)]
    assert {result.partition for result in outcome.checks} == {"ZL|1h", "ZS|1h"}
