"""Moving house: what one warehouse holds is in the other, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.errors import AuditError, UsageError
from cbi_assets.load.copy_tables import COPIED, copy_warehouse
from cbi_assets.session import Project, exclusive_lock, open_session
from cbi_assets.verbs import build
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.bigquery.bigquery_warehouse import BigQueryWarehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.helpers import NOW, load_once
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record


def held(project: Project, name: Any) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in an order of its own."""
    found = {}
    with exclusive_lock(project.home), project.open_warehouse(name) as warehouse:
        for spec in COPIED:
            frame = warehouse.query(f"SELECT * FROM `{spec.id}`")
            found[spec.id] = sorted(frame.to_dicts(), key=repr)
    return found


@pytest.fixture
def moving(project: Project, drive: Path, emulator: Emulator) -> Project:
    """A DuckDB home with bars, duplicates, a conflict, a malformed bar and a matrix, and the
    settings of an empty BigQuery project."""
    put_lines(drive, [*(record(n) for n in range(4)), record(9, volume="-1")])
    clash = [record(0, "ZS.v.0"), record(0, "ZS.v.0", close="11.000000000")]
    put_lines(drive, [record(3), *clash], job=LATER_JOB)
    load_once(project)
    with open_session(project, now=NOW) as session:
        build(session)
    settings = emulator.empty_project("cbi-tests") | {"cbi_warehouse": "duckdb"}
    return Project(project.settings.model_copy(update=settings))


def copy(project: Project, to: Any) -> list[Any]:
    with open_session(project, now=NOW) as session:
        return copy_warehouse(session, to)


def test_there_and_back(moving: Project) -> None:
    ours = held(moving, "duckdb")
    copies = copy(moving, "bigquery")
    rows = {name: len(found) for name, found in ours.items()}
    assert rows["market_data.databento_futures_ohlcv_1h"] == 5
    assert rows["ops.bar_conflicts"] == rows["ops.quarantined_bars"] == 1
    assert rows["features.daily_ml_matrix"] > 0
    assert {copy.table_id: copy.rows for copy in copies} == rows
    assert held(moving, "bigquery") == ours

    with pytest.raises(UsageError, match="holds rows already"):
        copy(moving, "bigquery")
    moving.home.warehouse.unlink()
    copy(moving, "duckdb")
    assert held(moving, "duckdb") == ours

    there = Project(moving.settings.model_copy(update={"cbi_warehouse": "bigquery"}))
    assert load_once(there).published == 0  # the ledger moved too


def test_a_copy_that_is_not_equal_is_not_published(
    moving: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = DuckDBWarehouse.query

    def one_more(self: DuckDBWarehouse, sql: str, params: Any = None) -> pl.DataFrame:
        frame = query(self, sql, params)
        if sql.startswith("SELECT load_id, source_file_id"):
            return frame.with_columns(pl.col("published") + 1)
        return frame

    monkeypatch.setattr(DuckDBWarehouse, "query", one_more)
    with pytest.raises(AuditError, match=r"ops\.loads: what was copied of it is not what"):
        copy(moving, "bigquery")
    monkeypatch.undo()
    assert set(map(len, held(moving, "bigquery").values())) == {0}


def test_rows_that_come_in_meanwhile_stop_the_copy(
    moving: Project, monkeypatch: pytest.MonkeyPatch
) -> None:

    stage = BigQueryWarehouse.stage_parquet

    def intrude(self: Warehouse, name: str, paths: Any) -> str:
        if name == "copy_daily_ml_matrix":
            self.query(
                "INSERT INTO `ops.load_costs` "
                "(load_id, jobs, bytes_uploaded, bytes_billed, slot_ms, recorded_at) "
                "SELECT 'L1', 1, 1, 1, 1, CURRENT_TIMESTAMP()"
            )
        return stage(self, name, paths)  # type: ignore[arg-type]

    monkeypatch.setattr(BigQueryWarehouse, "stage_parquet", intrude)
    with pytest.raises(AuditError, match=r"ops\.load_costs: would contain 1 rows, expected 0"):
        copy(moving, "bigquery")
    monkeypatch.undo()
    counts = {name: len(rows) for name, rows in held(moving, "bigquery").items()}
    assert counts.pop("ops.load_costs") == 1
    assert set(counts.values()) == {0}
