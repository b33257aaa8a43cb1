"""What holds on either warehouse: each test here runs on DuckDB and on BigQuery, from the tables'
making to `cbi` in a process of its own."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from cbi_assets.checks import (
    MATRIX_CHECKS,
    POINT_IN_TIME,
    RAW_CHECKS,
    REBUILD_CHECKS,
    CheckResult,
    check_matrix,
    check_point_in_time,
    check_raw,
    check_rebuilds,
)
from cbi_assets.definitions import defs
from cbi_assets.errors import AuditError
from cbi_assets.ingest.books import books_by_file
from cbi_assets.ingest.build import build
from cbi_assets.ingest.load import load
from cbi_assets.ingest.unload import plan_unload, unload
from cbi_assets.pipeline.bigquery import BigQuery
from cbi_assets.pipeline.instance import open_instance
from cbi_assets.pipeline.reporting import RAW_KEY, table_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.sensors import new_drive_files
from cbi_assets.project import Project
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.drift import differences
from cbi_assets.warehouse.fingerprint import fingerprint
from cbi_assets.warehouse.tables import (
    ALL_TABLES,
    CONTINUOUS,
    DAILY_ML_MATRIX,
    LEDGER_VERSION,
    LOAD_COSTS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    Column,
    TableSpec,
    struct,
)
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import (
    NAME,
    NOW,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
)
from cbi_assets_tests.ingest.lines import LATER_JOB, put_lines, record

pytestmark = pytest.mark.both_warehouses

HOURLY = RAW["1h"].id
MON, TUE = dt.date(2025, 1, 6), dt.date(2025, 1, 7)

THINGS = TableSpec(
    dataset="ops",
    name="things",
    description="a test's table",
    columns=(
        Column("name", "STRING", "what it's called"),
        Column("seen", "TIMESTAMP", "when", unit="UTC"),
        Column("size", "INT64", "how large", required=False),
        Column("weight", "FLOAT64", "how heavy", required=False),
        Column("parts", "ARRAY<STRING>", "of what", required=False),
        struct(
            "place",
            "where",
            (Column("x", "FLOAT64", "it's how far", unit="m"), Column("on_hand", "BOOL", "there?")),
            required=False,
        ),
    ),
    key=("name",),
    partition_by="seen",
    cluster_by=("name",),
)
INSERT = f"INSERT INTO `{THINGS.id}` (name, seen, size) SELECT @name, @seen, @size"


@pytest.fixture
def opened(project: Project) -> Iterator[Warehouse]:
    with project.hold(), project.open_warehouse() as warehouse:
        warehouse.create_tables([THINGS])
        yield warehouse


def thing(name: str, size: int | None = None, **more: Any) -> Statement:
    return Statement(INSERT, {"name": name, "seen": NOW, "size": size or 0}, **more)


def names(warehouse: Warehouse) -> list[str]:
    return warehouse.query(f"SELECT name FROM `{THINGS.id}` ORDER BY name")["name"].to_list()


def test_tables_are_made_as_their_specs_say(opened: Warehouse) -> None:
    for spec in (*ALL_TABLES, THINGS):
        live = opened.live_table(spec)
        assert live is not None
        assert differences(spec, live) == []
        assert [column.name for column in live.columns] == list(spec.column_names)
        required = {column.name for column in spec.columns if column.required}
        assert {column.name for column in live.columns if column.required} == required
        if live.has_layout and spec.partition_by:
            assert (live.partition_by, live.granularity) == (spec.partition_by, "MONTH")
    opened.create_tables([THINGS])  # again changes nothing
    for statement in LEDGER_VERSION.fill_statements():
        opened.transact([Statement(statement)])
    assert opened.query(f"SELECT version FROM `{LEDGER_VERSION.id}`")["version"].to_list() == [0]


def test_a_column_that_a_live_table_lacks_is_added(opened: Warehouse) -> None:
    opened.transact([thing("old")])
    wider = replace(THINGS, columns=(*THINGS.columns, Column("shade", "STRING", "new", False)))
    live = opened.live_table(wider)
    assert live is not None
    assert differences(wider, live) == ["column shade is missing"]
    opened.create_tables([wider])
    live = opened.live_table(wider)
    assert live is not None
    assert differences(wider, live) == []
    rows = opened.query(f"SELECT name, shade FROM `{THINGS.id}`")
    assert rows.rows() == [("old", None)]
    narrower = replace(THINGS, columns=THINGS.columns[:-1])
    assert differences(narrower, live) == [
        "column place is not in the spec",
        "column shade is not in the spec",
    ]


def test_values_come_and_go_unchanged(opened: Warehouse) -> None:
    late = dt.datetime(2025, 3, 9, 7, 30, 0, 123456, tzinfo=dt.UTC)
    rows = [
        {
            "name": "it's; DROP TABLE x --",
            "seen": late,
            "size": 2**62,
            "weight": 50.15,
            "parts": ["a", "b"],
            "place": {"x": -37.63, "on_hand": False},
        },
        {"name": "none", "seen": NOW, "size": None, "weight": None, "parts": [], "place": None},
    ]
    frame = pl.DataFrame(rows)
    staged = opened.stage_frame("frame", frame)
    listed = ", ".join(THINGS.column_names)
    opened.transact(
        [Statement(f"INSERT INTO `{THINGS.id}` ({listed}) SELECT {listed} FROM `{staged}`")]
    )
    back = opened.query(f"SELECT * FROM `{THINGS.id}` ORDER BY name")
    assert back["seen"].dtype == pl.Datetime("us", "UTC")
    first, second = back.to_dicts()
    assert first == rows[0]
    assert {n: v for n, v in second.items() if n not in ("parts", "place")} == {
        "name": "none",
        "seen": NOW,
        "size": None,
        "weight": None,
    }
    found = opened.query(
        f"SELECT name FROM `{THINGS.id}` WHERE name = @name AND seen = @seen AND size = @size "
        "AND weight = @weight AND DATE(seen) = @day AND 'a' IN UNNEST(@parts) AND @sure",
        rows[0] | {"day": late.date(), "sure": True},
    )
    assert found.height == 1
    nobody = opened.query(
        f"SELECT name FROM `{THINGS.id}` WHERE name IN UNNEST(@none)", {"none": []}
    )
    assert nobody.schema == {"name": pl.String}
    assert nobody.height == 0
    total = opened.query("SELECT SUM(n) AS total FROM UNNEST([1, 2]) AS n")
    assert total.schema == {"total": pl.Int64}
    assert total.item() == 3


def test_files_are_staged_as_one_table(opened: Warehouse, tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.parquet"
        pl.DataFrame({"n": [number, number + 10], "at": [NOW, NOW]}).write_parquet(path)
        paths.append(path)
    staged = opened.stage_parquet("files", paths)
    kept = opened.stage_query("kept", f"SELECT n FROM `{staged}` WHERE n > @least", {"least": 0})
    assert opened.query(f"SELECT n FROM `{kept}` ORDER BY n")["n"].to_list() == [1, 10, 11]
    assert opened.stage_parquet("files", paths) == staged
    assert opened.query(f"SELECT COUNT(*) AS n FROM `{staged}`").item() == 4


def test_many_rows_come_back_whole(opened: Warehouse) -> None:
    frame = pl.DataFrame({"n": range(20_000)}).with_columns(text=pl.col("n").cast(pl.String))
    staged = opened.stage_frame("many", frame)
    assert opened.query(f"SELECT n, text FROM `{staged}` ORDER BY n").equals(frame)


def test_a_transaction_is_all_or_nothing(opened: Warehouse) -> None:
    opened.transact([thing("a"), thing("b")])
    assert names(opened) == ["a", "b"]
    found = f"SELECT name, size FROM `{THINGS.id}` WHERE size > @limit"
    with pytest.raises(AuditError, match=r"^c is 7 large$"):
        opened.transact(
            [thing("c", 7), Statement(found, {"limit": 5}, "{0} is {1} large"), thing("d")]
        )
    with pytest.raises(Exception, match="nowhere"):
        opened.transact([thing("e"), Statement("DELETE FROM `ops.nowhere` WHERE TRUE")])
    assert names(opened) == ["a", "b"]
    # parameters of the same name do not get in each other's way
    opened.transact([Statement(found, {"limit": 5}, "never"), thing("f", 3)])
    assert names(opened) == ["a", "b", "f"]


def fill(drive: Path) -> None:
    """ZL: bars 0 to 3, one repeated and one malformed. Then another job: bar 3 again, bar 5, and
    two versions of ZS's bar 0; a record without a symbol; one of a root nobody wants."""
    put_lines(drive, [*(record(n) for n in range(4)), record(0), record(9, volume="-1")])
    clash = [record(0, "ZS.v.0"), record(0, "ZS.v.0", close="11.000000000")]
    others = [record(0, None), record(0, "SR3.v.0")]
    put_lines(drive, [record(3), record(5), *clash, *others], job=LATER_JOB)


def test_a_load_accounts_for_every_record(project: Project, drive: Path) -> None:
    fill(drive)
    outcome = load_once(project)
    assert outcome.published == 6
    assert outcome.nameless == 1
    with project.hold(), project.open_warehouse() as warehouse:
        books = books_by_file(warehouse).drop("path", "source_file_id", "schema").to_dicts()
    columns = ("records", "published", "duplicates", "quarantined", "conflicts",
               "outside_universe", "difference")  # fmt: skip
    by_job = {book["job_id"]: tuple(book[name] for name in columns) for book in books}
    assert by_job[LATER_JOB] == (6, 2, 1, 1, 1, 1, 0)
    assert sorted(by_job.values())[1] == (6, 4, 1, 1, 0, 0, 0)
    aside = query(project, "SELECT reason, record FROM `ops.quarantined_bars` ORDER BY record_no")
    assert {json.loads(text)["volume"] for text in aside["record"]} == {"-1", "5"}
    (conflict,) = query(project, "SELECT * FROM `ops.bar_conflicts`").to_dicts()
    assert (conflict["version"]["close"], conflict["published"]["close"]) == (11.0, 12.0)
    assert (outcome.spent is None) == (project.settings.cbi_warehouse == "duckdb")
    costs = query(project, f"SELECT load_id FROM `{LOAD_COSTS.id}`")["load_id"].to_list()
    assert costs == ([] if outcome.spent is None else [outcome.load_id])

    again = load_once(project)
    assert (again.published, again.load_id) == (0, None)


def test_what_is_published_is_what_went_in(project: Project, drive: Path) -> None:
    records = bars(30)
    put_job(drive, {f"{NAME}.ohlcv-1h.dbn.zst": dbn_file(records)})
    load_once(project)
    assert published(project) == expected_rows(records)


def test_an_unload_reopens_and_a_reload_brings_the_same_back(project: Project, drive: Path) -> None:
    fill(drive)
    load_once(project)
    before = fingerprints(project)
    with (
        project.hold(),
        project.open_catalog() as catalog,
        project.open_warehouse() as warehouse,
    ):
        plan = plan_unload(warehouse, "job", "GLBX-20250110-AAAAAAAAAA")
        outcome = unload(project, warehouse, catalog, plan, NOW)
        assert (outcome.removed, outcome.reopened) == (4, 1)
        assert set(books_by_file(warehouse)["difference"]) <= {0}
    left = query(project, f"SELECT symbol, COUNT(*) AS n FROM `{HOURLY}` GROUP BY symbol")
    assert dict(left.iter_rows()) == {"ZL.v.0": 1, "ZS.v.0": 1}
    load_once(project)
    assert fingerprints(project) == before


def fingerprints(project: Project) -> dict[str, Any]:
    """Of every table, without what tells when and by which load."""
    leave_out = ("load_id", "loaded_at", "checked_at")
    told_apart = (LOAD_COSTS, LEDGER_VERSION)
    with project.hold(), project.open_warehouse() as warehouse:
        return {
            spec.id: fingerprint(warehouse, spec, leave_out=leave_out)
            for spec in ALL_TABLES
            if spec not in told_apart
        }


def test_either_warehouse_ends_with_the_same_content(
    project: Project, make_project: MakeProject, drive: Path
) -> None:
    fill(drive)
    embedded = make_project("embedded", cbi_warehouse="duckdb")
    found = []
    for each in (project, embedded):
        load_once(each)
        with each.hold():
            build(each, now=NOW)
        found.append(fingerprints(each))
    assert found[0] == found[1]
    assert sum(part.rows for part in found[0][HOURLY].values()) == 6


@pytest.fixture
def loaded(project: Project, drive: Path) -> Project:
    """A bar of ZL and ZS at 15:00 UTC of four trade dates, and the matrix of them."""
    hours = (0, 24, 48, 72)
    put_lines(drive, [record(n, symbol) for n in hours for symbol in ("ZL.v.0", "ZS.v.0")])
    load_once(project)
    with project.hold():
        build(project, now=NOW)
    return project


ONE = "root = 'ZL' AND trade_date = DATE '2025-01-07'"
COPY = ", ".join(name for name in RAW["1h"].column_names if name != "trade_date")
SPOILS = {
    "row_count_matches_files": f"DELETE FROM `{HOURLY}` WHERE {ONE}",
    "no_duplicate_bars": f"INSERT INTO `{HOURLY}` (trade_date, {COPY}) "
    f"SELECT trade_date, {COPY} FROM `{HOURLY}` WHERE {ONE}",
    "source_is_databento": f"UPDATE `{HOURLY}` SET dataset = 'YAHOO' WHERE {ONE}",
    "ohlc_is_consistent": f"UPDATE `{HOURLY}` SET open = high + 1 WHERE {ONE}",
    "schema_matches_timeframe": f"UPDATE `{HOURLY}` "
    f"SET ts_event = TIMESTAMP_ADD(ts_event, INTERVAL 1 MINUTE) WHERE {ONE}",
    "no_overlapping_loads_disagree": "INSERT INTO `ops.bar_conflicts` (load_id, timeframe, root, "
    "symbol, ts_event, source_file_id, record_no, published_file_id, version, published, loaded_at)"
    " SELECT 'L', '1h', 'ZL', 'ZL.v.0', ts_event, 'f', 1, 'g', "
    "STRUCT(1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close, 1 AS volume, 1 AS instrument_id), "
    "STRUCT(1.0 AS open, 1.0 AS high, 1.0 AS low, 2.0 AS close, 1 AS volume, 1 AS instrument_id), "
    f"loaded_at FROM `{HOURLY}` WHERE {ONE}",
    "no_unexplained_gaps": f"UPDATE `{HOURLY}` SET trade_date = DATE '2025-01-10' "
    "WHERE root = 'ZL' AND trade_date = DATE '2025-01-09'",
    "coverage_is_uniform": f"DELETE FROM `{HOURLY}` "
    "WHERE root = 'ZS' AND trade_date > DATE '2025-01-07'",
    "bars_are_fresh": f"UPDATE `{HOURLY}` SET trade_date = DATE '2024-06-03' WHERE root = 'ZL'",
    "one_row_per_trade_date": f"INSERT INTO `{DAILY_ML_MATRIX.id}` SELECT * FROM "
    f"`{DAILY_ML_MATRIX.id}` WHERE symbol = 'ZL' AND data_date = DATE '2025-01-07'",
    "prices_come_from_databento": f"UPDATE `{DAILY_ML_MATRIX.id}` SET source = STRUCT("
    "'yahoo' AS price_source, source.active_contract AS active_contract, "
    "source.roll_rule AS roll_rule, source.load_ids AS load_ids) WHERE symbol = 'ZL'",
    "matrix_is_point_in_time": f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'another' "
    "WHERE symbol = 'ZL' AND data_date = DATE '2025-01-06'",
    "minute_rebuilds_hourly": f"INSERT INTO `{RAW['1m'].id}` (trade_date, {COPY}) "
    f"SELECT trade_date, {COPY.replace('volume', 'volume + 1')} FROM `{HOURLY}` WHERE {ONE}",
    "regime_covers_every_row": f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = NULL "
    "WHERE symbol = 'ZL' AND data_date = DATE '2025-01-07'",
}


def test_every_check_holds_and_fails_on_spoilt_rows(loaded: Project) -> None:
    raw = {check.name: check for check in RAW_CHECKS}
    others = (*MATRIX_CHECKS, POINT_IN_TIME, REBUILD_CHECKS["1h"])
    assert set(SPOILS) == {*raw, *(check.name for check in others)}
    spoilable = (HOURLY, RAW["1m"].id, "ops.bar_conflicts", DAILY_ML_MATRIX.id)
    with loaded.hold(), loaded.open_warehouse() as warehouse:
        kept = {
            name: warehouse.stage_query(f"kept_{place}", f"SELECT * FROM `{name}`")
            for place, name in enumerate(spoilable)
        }
        both = ["ZL", "ZS"]

        def check_others() -> list[CheckResult]:
            return [
                *check_matrix(warehouse, both),
                *check_point_in_time(loaded, warehouse, both, seed=1),
                *check_rebuilds(warehouse, "1h", both),
            ]

        sound = check_raw(loaded, warehouse, "1h", both, NOW) + check_others()
        # ZL's 1h bars are wanted from 2010 on, ZS's are not
        failed = {(result.check.name, result.root) for result in sound if not result.passed}
        assert failed == {("coverage_is_uniform", "ZL")}
        for name, spoil in SPOILS.items():
            warehouse.transact([Statement(spoil)])
            if name in raw:
                found = check_raw(loaded, warehouse, "1h", both, NOW, checks=[raw[name]])
            else:
                found = [r for r in check_others() if r.check.name == name]
            verdicts = {result.root: result.passed for result in found}
            assert verdicts == {"ZL": False, "ZS": name != "coverage_is_uniform"}, name
            assert all(result.sample for result in found if not result.passed), name
            for table, copy in kept.items():
                warehouse.transact(
                    [
                        Statement(f"DELETE FROM `{table}` WHERE TRUE"),
                        Statement(f"INSERT INTO `{table}` SELECT * FROM `{copy}`"),
                    ]
                )


def test_the_matrix_is_built_and_a_window_of_it_replaced(loaded: Project) -> None:
    def rows() -> pl.DataFrame:
        return query(loaded, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("symbol", "data_date")

    first = rows()
    assert first.height == 8
    tuesday = first.row(1, named=True)
    assert (tuesday["symbol"], tuesday["data_date"]) == ("ZL", TUE)
    # every session is high 13, low 9, close 12: P = 34/3
    assert tuesday["pivots"]["P"] == 34 / 3
    assert tuesday["source"]["load_ids"]
    later = NOW + dt.timedelta(days=1)
    with loaded.hold():
        again = build(loaded, now=later)
    assert {item.spec.id: item.written + item.removed for item in again.replaced} == {
        spec.id: 0 for spec in (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)
    }
    assert again.sessions_built == 0
    with loaded.hold(), loaded.open_warehouse() as warehouse:
        spoilt = f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'none' WHERE TRUE"
        warehouse.transact([Statement(spoilt)])
    with loaded.hold():
        outcome = build(loaded, now=later, roots=("ZL",), start=TUE, end=TUE)
    assert outcome.rows == {"ZL": 1}
    written = rows().filter(pl.col("ingestion_ts") == later)
    assert written.drop("ingestion_ts").equals(first[1:2].drop("ingestion_ts"))


def test_the_sensors_run_shows_in_dagster(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in project.settings.environment().items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    put_lines(drive, [record(0), record(1)])
    resources: dict[str, Any] = {"project": ProjectResource(bigquery=BigQuery())}
    with open_instance(project.home) as instance:
        cursor = None
        for _ in range(2):
            with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
                tick = new_drive_files(context)
            assert isinstance(tick, dg.SensorResult)
            cursor = tick.cursor
        (request,) = tick.run_requests or ()
        result = defs.resolve_job_def("load_drive").execute_in_process(
            run_config=request.run_config,
            instance=instance,
            resources=resources | {"clock": Clock(fixed=NOW.isoformat())},
        )
        assert result.success
        for key in (RAW_KEY, table_key(HOURLY)):
            assert instance.get_materialized_partitions(key) == {"ZL|1h"}
        event = instance.get_latest_materialization_event(table_key(HOURLY))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        assert metadata["dagster/partition_row_count"].value == 2
        assert ("bytes billed" in metadata) == (project.settings.cbi_warehouse == "bigquery")
    assert dict(os.environ) == before


def cbi(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cbi_assets.cli", *arguments],
        env=os.environ | project.settings.environment(),
        cwd=project.home.root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_says_how_it_went(project: Project, drive: Path) -> None:
    put_lines(drive, [record(0), record(0, close="11.000000000"), record(1)])
    loaded = cbi(project, "load", "--json")
    assert loaded.returncode == 1, loaded.stderr
    assert json.loads(loaded.stdout)["published"] == 2
    checked = cbi(project, "check", "--json")
    assert checked.returncode == 1, checked.stderr
    failed = [
        found["check"]
        for found in json.loads(checked.stdout)
        if not found["passed"] and found["severity"] == "ERROR"
    ]
    assert failed == ["no_overlapping_loads_disagree"]
    wrong = cbi(project, "unload", "--job", "GLBX-X", "--yes")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("cbi: --job GLBX-X: nothing of it is loaded")
    assert len(wrong.stderr.splitlines()) == 1


def test_a_second_publication_from_the_same_books_is_refused(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cbi_assets.ingest import load as loading

    put_lines(drive, [record(0), record(1)])
    told: list[str] = []
    find = loading.find_overlaps
    raised = False

    def interfere(warehouse: Warehouse, *args: Any) -> Any:
        nonlocal raised
        if not raised:
            raised = True
            warehouse.transact(
                [Statement("UPDATE `ops.ledger_version` SET version = version + 1 WHERE TRUE")]
            )
        return find(warehouse, *args)

    monkeypatch.setattr(loading, "find_overlaps", interfere)
    with project.hold():
        outcome = load(project, now=NOW, tell=told.append)
    assert outcome.published == 2
    assert "another load published meanwhile; auditing against what it left" in told
    assert query(project, "SELECT version FROM `ops.ledger_version`").item() == 2
