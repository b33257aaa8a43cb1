"""`cbi copy` publishes all rows of one warehouse in the other, or none."""

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


def all_rows(project: Project, name: Any) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, sorted."""
    found = {}
    with exclusive_lock(project.home), project.open_warehouse(name) as warehouse:
        for spec in COPIED:
            frame = warehouse.query(f"SELECT * FROM `{spec.id}`")
            found[spec.id] = sorted(frame.to_dicts(), key=repr)
    return found


@pytest.fixture
def copied(project: Project, drive: Path, emulator: Emulator) -> Project:
    """Return a DuckDB home with bars, a duplicate, a conflict, an invalid bar and a matrix, and the
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


@pytest.mark.full
def test_copy_to_bigquery_and_back_keeps_every_row(copied: Project) -> None:
    ours = all_rows(copied, "duckdb")
    copies = copy(copied, "bigquery")
    rows = {name: len(found) for name, found in ours.items()}
    assert rows["market_data.databento_futures_ohlcv_1h"] == 5
    assert rows["ops.bar_conflicts"] == rows["ops.quarantined_bars"] == 1
    assert rows["features.daily_ml_matrix"] > 0
    assert {copy.table_id: copy.rows for copy in copies} == rows
    assert all_rows(copied, "bigquery") == ours

    with pytest.raises(UsageError, match="has rows already"):
        copy(copied, "bigquery")
    copied.home.warehouse.unlink()
    copy(copied, "duckdb")
    assert all_rows(copied, "duckdb") == ours

    there = Project(copied.settings.model_copy(update={"cbi_warehouse": "bigquery"}))
    assert load_once(there).published == 0  # the ledger was copied too


@pytest.mark.full
def test_copy_that_differs_from_its_source_is_not_published(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = DuckDBWarehouse.query

    def one_more(self: DuckDBWarehouse, sql: str, params: Any = None) -> pl.DataFrame:
        frame = query(self, sql, params)
        if sql.startswith("SELECT load_id, source_file_id"):
            return frame.with_columns(pl.col("published") + 1)
        return frame

    monkeypatch.setattr(DuckDBWarehouse, "query", one_more)
    with pytest.raises(
        AuditError, match=r"ops\.loads: what was copied of it differs from the source"
    ):
        copy(copied, "bigquery")
    monkeypatch.undo()
    assert set(map(len, all_rows(copied, "bigquery").values())) == {0}


@pytest.mark.full
def test_copy_stops_if_the_target_gets_rows_meanwhile(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:

    stage = BigQueryWarehouse.stage_parquet

    def intrude(self: Warehouse, name: str, paths: Any, partition_by: str | None) -> str:
        if name == "copy_daily_ml_matrix":
            self.query(
                "INSERT INTO `ops.load_costs` "
                "(load_id, jobs, bytes_uploaded, bytes_billed, slot_ms, recorded_at) "
                "SELECT 'L1', 1, 1, 1, 1, CURRENT_TIMESTAMP()"
            )
        return stage(self, name, paths, partition_by)  # type: ignore[arg-type]

    monkeypatch.setattr(BigQueryWarehouse, "stage_parquet", intrude)
    with pytest.raises(AuditError, match=r"ops\.load_costs: would contain 1 rows, expected 0"):
        copy(copied, "bigquery")
    monkeypatch.undo()
    counts = {name: len(rows) for name, rows in all_rows(copied, "bigquery").items()}
    assert counts.pop("ops.load_costs") == 1
    assert set(counts.values()) == {0}
