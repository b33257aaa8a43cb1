"""Unload takes out just one file's, load's or job's bars; a reload brings the same table back."""

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
from cbi_assets.session import Project, exclusive_lock, open_session
from cbi_assets.verbs import unload
from cbi_assets_tests.helpers import JOB, NOW, load_once, open_warehouse, query, table
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

LEDGERS = ("ops.loads", "ops.source_files", "ops.quarantined_bars", "ops.bar_conflicts")


def take_out(project: Project, scope: Scope, value: str) -> UnloadOutcome:
    with open_session(project, now=NOW) as session:
        return unload(session, plan_unload(session, scope, value))


def ledger(project: Project, name: str) -> pl.DataFrame:
    """A ledger table without what differs between two loads of the same bars."""
    frame = query(project, f"SELECT * FROM `{name}`")
    frame = frame.drop(name for name in ("load_id", "loaded_at") if name in frame.columns)
    return frame.sort(pl.all().exclude("symbols", "version", "published"))


def everything(project: Project) -> dict[str, pl.DataFrame]:
    shown = {name: ledger(project, name) for name in LEDGERS}
    return shown | {timeframe: table(project, timeframe) for timeframe in ("1h", "1m")}


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name, frame in expected.items():
        assert found[name].to_dicts() == frame.to_dicts(), name


def balanced(project: Project) -> bool:
    with open_warehouse(project) as warehouse:
        return set(books_by_file(warehouse)["difference"]) <= {0}


def held(project: Project, file_id: str, name: str = "ops.loads") -> int:
    column = "id" if name == "ops.source_files" else "source_file_id"
    return query(project, f"SELECT {column} FROM `{name}` WHERE {column} = '{file_id}'").height


@pytest.fixture
def two_jobs(project: Project, drive: Path) -> tuple[str, str]:
    """Bars 0 to 3 in one job and 2 to 5 in another, with a malformed one each; loaded."""
    first = put_lines(drive, [*(record(n) for n in range(4)), record(9, volume="-1")])
    second = put_lines(
        drive,
        [*(record(n) for n in range(2, 6)), record(8, volume="-1"), record(0, "ZS.v.0")],
        "b.json",
        LATER_JOB,
    )
    load_once(project)
    return first, second


def hours(project: Project) -> list[tuple[str, int]]:
    return [(row["symbol"], row["ts_event"].hour - 15) for row in table(project).to_dicts()]


@pytest.mark.parametrize("scope", ["file", "job"])
def test_one_files_or_jobs_bars_go_ledger_and_all(
    project: Project, two_jobs: tuple[str, str], scope: Scope
) -> None:
    first, second = two_jobs
    outcome = take_out(project, scope, LATER_JOB if scope == "job" else second[:12])
    assert (outcome.removed, outcome.reopened) == (3, 0)
    assert outcome.partitions == (("ZL", "1h"), ("ZS", "1h"))
    assert hours(project) == [("ZL.v.0", n) for n in range(4)]
    assert set(table(project)["source_file_id"]) == {first}
    assert [held(project, second, name) for name in LEDGERS[:3]] == [0, 0, 0]
    assert [held(project, first, name) for name in LEDGERS[:3]] == [1, 1, 1]
    assert balanced(project)
    assert not any(result.failed for result in outcome.checks)


def test_one_loads_bars_go(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    load_once(project)
    put_lines(drive, [record(2)], "b.json")
    put_lines(drive, [record(0, timeframe="1m")], "m.json")
    later = load_once(project, now=NOW + dt.timedelta(hours=1))
    assert later.load_id is not None
    outcome = take_out(project, "load", later.load_id)
    assert outcome.removed == 2
    assert hours(project) == [("ZL.v.0", 0), ("ZL.v.0", 1)]
    assert table(project, "1m").is_empty()
    assert later.load_id not in set(query(project, "SELECT load_id FROM `ops.loads`")["load_id"])


@pytest.mark.parametrize("which", [0, 1])
def test_a_reload_brings_the_same_table_back(
    project: Project, two_jobs: tuple[str, str], which: int
) -> None:
    before = everything(project)
    take_out(project, "file", two_jobs[which])
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert_same(everything(project), before)
    assert balanced(project)


def test_bars_that_another_file_repeats_come_back_from_it(
    project: Project, drive: Path, two_jobs: tuple[str, str]
) -> None:
    first, second = two_jobs
    outcome = take_out(project, "file", first)
    # of the first file's four bars, the second repeats two
    assert (outcome.removed, outcome.reopened) == (4, 2)
    (entry,) = query(
        project, "SELECT duplicates, reopened, published FROM `ops.loads` WHERE root = 'ZL'"
    ).to_dicts()
    assert entry == {"duplicates": 0, "reopened": 2, "published": 2}
    assert balanced(project)

    (drive / JOB / "a.json").unlink()
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert hours(project) == [*(("ZL.v.0", n) for n in range(2, 6)), ("ZS.v.0", 0)]
    assert set(table(project)["source_file_id"]) == {second}
    assert balanced(project)


def test_a_conflict_with_what_goes_is_open_again(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    put_lines(drive, [record(1, volume="7"), record(2)], "b.json")
    load_once(project)
    before = everything(project)
    first = table(project)["source_file_id"][0]

    outcome = take_out(project, "file", first)
    assert outcome.reopened == 1
    assert query(project, "SELECT * FROM `ops.bar_conflicts`").is_empty()
    assert not any(result.failed for result in outcome.checks)
    assert balanced(project)

    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert_same(everything(project), before)


def test_without_the_other_version_the_conflict_is_settled(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(1)])
    second = put_lines(drive, [record(1, volume="7")], "b.json")
    load_once(project)
    take_out(project, "file", table(project)["source_file_id"][0])
    (drive / JOB / "a.json").unlink()
    outcome = load_once(project, now=NOW + dt.timedelta(hours=1))
    assert table(project)["volume"].to_list() == [7]
    assert table(project)["source_file_id"].to_list() == [second]
    assert not any(result.failed for result in outcome.checks)


def test_a_file_that_is_taken_out_in_part_waits_for_the_rest(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0"), record(1, "ZS.v.0")])
    first = load_once(project, partitions=[("ZL", "1h")])
    load_once(project, now=NOW + dt.timedelta(hours=1))
    assert first.load_id is not None
    take_out(project, "load", first.load_id)
    (file,) = query(project, "SELECT status, not_loaded FROM `ops.source_files`").to_dicts()
    assert file == {"status": "partial", "not_loaded": 1}
    assert set(table(project)["root"]) == {"ZS"}


@pytest.mark.parametrize("scope", ["file", "load", "job"])
@pytest.mark.parametrize("value", ["beef", ""])
def test_what_is_not_loaded_cannot_be_taken_out(
    project: Project, two_jobs: tuple[str, str], scope: Scope, value: str
) -> None:
    with pytest.raises(UsageError, match=f"--{scope} {value}"):
        take_out(project, scope, value)


@pytest.mark.parametrize("scope", ["load", "job"])
def test_only_a_files_id_may_be_shortened(
    project: Project, two_jobs: tuple[str, str], scope: Scope
) -> None:
    (load_id,) = set(query(project, "SELECT load_id FROM `ops.loads`")["load_id"])
    whole = load_id if scope == "load" else JOB
    with pytest.raises(UsageError, match="nothing of it is loaded"):
        take_out(project, scope, whole[:-1])


def test_the_start_of_several_ids_is_too_short(project: Project, drive: Path) -> None:
    # of seventeen files two ids must share their first digit
    ids = [put_lines(drive, [record(n)], f"{n}.json") for n in range(17)]
    load_once(project)
    digit = next(d for d in "0123456789abcdef" if sum(i.startswith(d) for i in ids) > 1)
    with pytest.raises(UsageError, match="it matches more than one file's ID"):
        take_out(project, "file", digit)


@pytest.mark.parametrize(
    ("answer", "exit_code", "left"), [("n\n", 1, 4), ("y\n", 0, 0), (None, 0, 0)]
)
def test_the_command_line_asks_first(
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


@pytest.mark.parametrize("arguments", [[], ["--file", "a", "--job", "b"]])
def test_the_command_line_wants_one_scope(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["unload", *arguments])
    assert isinstance(result.exception, UsageError)


def test_the_next_load_looks_at_what_an_unload_changed(
    project: Project, drive: Path, two_jobs: tuple[str, str]
) -> None:
    """Dagster still shows the partition as it was: the next load has to report it, news or none."""
    with exclusive_lock(project.home):
        PendingEvents(project.home).remove(PendingEvents(project.home).partitions())
    take_out(project, "file", two_jobs[1])
    for path in drive.rglob("b.json"):
        path.unlink()
    outcome = load_once(project)
    assert outcome.published == 0
    assert [(p.root, p.timeframe, p.row_count) for p in outcome.profiles] == [("ZL", "1h", 4)]
    assert {result.partition for result in outcome.checks} == {"ZL|1h", "ZS|1h"}
