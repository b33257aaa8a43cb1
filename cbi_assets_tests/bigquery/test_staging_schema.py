"""Parquet types survive staging, and DML on raw tables names its partitions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from cbi_assets.errors import AuditError
from cbi_assets.tables import RAW
from cbi_assets.warehouse import sql_files
from cbi_assets.warehouse.bigquery.live_schema import staging_fields
from cbi_assets_tests.bigquery.conftest import OpenRemote
from cbi_assets_tests.bigquery.proxy import TABLES, Proxy
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import bars, dbn_file, put_job, take_inventory

pytestmark = pytest.mark.bigquery


def schema_of(*fields: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in fields])


def test_staging_column_is_required_only_if_nullable_in_no_file() -> None:
    always = schema_of(("a", pa.int64(), False), ("b", pa.int64(), False))
    sometimes = schema_of(("a", pa.int64(), False), ("b", pa.int64(), True))
    for schemas in ([always, sometimes], [sometimes, always]):
        modes = {field.name: field.mode for field in staging_fields(schemas)}
        assert modes == {"a": "REQUIRED", "b": "NULLABLE"}
    modes = {field.name: field.mode for field in staging_fields([always, always])}
    assert modes == {"a": "REQUIRED", "b": "REQUIRED"}


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ns", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.binary()],
    ids=str,
)
def test_staging_fields_rejects_types_that_would_change(kind: pa.DataType) -> None:
    with pytest.raises(AuditError, match="column ts_event"):
        staging_fields([schema_of(("ts_event", kind, True))])


def test_staging_fields_rejects_files_that_disagree_on_a_type() -> None:
    one, other = schema_of(("a", pa.int64(), True)), schema_of(("a", pa.string(), True))
    with pytest.raises(AuditError, match="INT64 in one file, STRING in another"):
        staging_fields([one, other])


def test_landed_packs_mark_required_columns(make_project: MakeProject, drive: Path) -> None:
    put_job(drive, {"a.dbn.zst": dbn_file(bars(3))})
    project = make_project()
    take_inventory(project)
    (pack,) = project.home.landing.glob("*/*.parquet")
    schema = pq.read_schema(pack)
    for name in ("file_no", "record_no", "root", "symbol"):
        assert not schema.field(name).nullable
    for name in ("ts_event", "open", "volume"):
        assert schema.field(name).nullable
    modes = {field.name: field.mode for field in staging_fields([schema])}
    assert {modes[name] for name in ("file_no", "record_no", "root", "symbol")} == {"REQUIRED"}


def test_staging_table_has_the_columns_of_its_files(
    proxy: Proxy, open_remote: OpenRemote, tmp_path: Path
) -> None:
    for number, nullable in enumerate((False, True)):
        schema = schema_of(("a", pa.int64(), False), ("b", pa.string(), nullable))
        pq.write_table(
            pa.table({"a": [number], "b": ["x"]}, schema), tmp_path / f"{number}.parquet"
        )
    with open_remote() as warehouse:
        warehouse.stage_parquet("landed", sorted(tmp_path.glob("*.parquet")))
    (made,) = proxy.sent("POST", TABLES)
    assert "timePartitioning" not in made.body
    modes = {field["name"]: field["mode"] for field in made.body["schema"]["fields"]}
    assert modes == {"a": "REQUIRED", "b": "NULLABLE"}


def test_staging_table_is_partitioned_if_it_is_read_by_span(
    proxy: Proxy, open_remote: OpenRemote, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    day = pa.array([dt.date(2024, 1, 2)])
    pq.write_table(pa.table({"day": day}, schema_of(("day", pa.date32(), False))), path)
    with open_remote() as warehouse:
        warehouse.stage_parquet("copy", [path], "day")
    (made,) = proxy.sent("POST", TABLES)
    assert made.body["timePartitioning"] == {"type": "MONTH", "field": "day"}


def test_transactions_on_raw_tables_read_a_span_only() -> None:
    folder = Path(str(sql_files.__file__)).parent / "sql"
    read = {path: path.read_text() for path in folder.glob("*load/*.sql")}
    reading = {path.stem for path, text in read.items() if "FROM `$table`" in text}
    bounded = {path.stem for path, text in read.items() if "ts_event BETWEEN @first_ts" in text}
    # outside of a transaction: Dagster's samples of a month, and what a person has resolved
    assert reading - bounded == {"partition_sample", "anonymous_instruments"}


TOUCHING = (exp.Delete, exp.Update, exp.Merge)


def test_dml_on_raw_tables_names_the_partitions() -> None:
    folder = Path(str(sql_files.__file__)).parent / "sql"
    checked = []
    for path in sorted(folder.rglob("*.sql")):
        text = path.read_text()
        if "`$table`" not in text:
            continue
        tree = sqlglot.parse_one(text.replace("`$table`", f"`{RAW['1h'].id}`"), read="bigquery")
        for found in tree.find_all(*TOUCHING):
            assert found.this.name == RAW["1h"].name
            checked.append(path.stem)
            where = found.args["on"] if isinstance(found, exp.Merge) else found.args["where"]
            # at the top level, not inside a subquery
            conditions = list(exp.and_(where.this).flatten())
            assert any(
                isinstance(condition.unnest(), exp.Between)
                and condition.unnest().this.name == "ts_event"
                for condition in conditions
            ), path.name
    assert checked == ["delete_derived", "publish_own", "rename_bars", "delete_bars"]
