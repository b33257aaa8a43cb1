"""Copy all tables and the ledger of one warehouse into the other, empty one, and prove both
equal."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets.config.settings import WarehouseName
from cbi_assets.counted_steps import log_steps
from cbi_assets.errors import AuditError, UsageError
from cbi_assets.ledger.versions import ledger_version, with_version_guard
from cbi_assets.session import Session
from cbi_assets.tables import ALL_TABLES, FOLDS, LEDGER_VERSION, TRAINING_BUILDS, TableSpec
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.fingerprint import fingerprint, spans, within

logger = logging.getLogger(__name__)

COPIED = tuple(spec for spec in ALL_TABLES if spec not in (LEDGER_VERSION, FOLDS, TRAINING_BUILDS))
"""All tables but the training tables, which a build in the other warehouse makes."""


@dataclass(frozen=True)
class TableCopy:
    """One table's rows, and the months whose fingerprints are the same on both sides."""

    table_id: str
    rows: int
    months: int


def copy_warehouse(session: Session, to: WarehouseName) -> list[TableCopy]:
    """Publish everything of the other warehouse into `to`.

    Exports one file per month under `CBI_HOME/tmp`, and deletes them at the end. Raises UsageError
    if `to` has rows already, and AuditError if the two sides differ; then no table is changed.
    """
    source_name: WarehouseName = "duckdb" if to == "bigquery" else "bigquery"
    project = session.project
    folder = session.home.scratch / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with (
            project.open_warehouse(source_name, wait=session.wait) as source,
            project.open_warehouse(to, wait=session.wait) as target,
        ):
            version = ledger_version(target)
            for spec in COPIED:
                if _count(target, spec.id):
                    raise UsageError(
                        "it has rows already",
                        subject=f"{spec.id} of {to}",
                        remedy="`cbi copy` fills an empty warehouse; use `cbi load` to add to one.",
                    )
            statements: list[Statement] = []
            copies: list[TableCopy] = []
            for spec in log_steps(COPIED, lambda spec: f"copying {spec.id}", logger=logger):
                staged = _stage(source, target, spec, folder)
                months = _same(source, target, spec, staged, "was copied of")
                rows = _count(source, spec.id)
                copies.append(TableCopy(spec.id, rows, months))
                statements += _publication(target, spec, staged, rows)
            logger.info("publishing %s rows", f"{sum(copy.rows for copy in copies):,}")
            target.transact(with_version_guard(statements, version))
            for spec in COPIED:
                _same(source, target, spec, spec.id, "was published of")
            return copies
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stage(source: Warehouse, target: Warehouse, spec: TableSpec, folder: Path) -> str | None:
    """Export a table month by month and stage the files; return None if it is empty."""
    names = ", ".join(spec.column_names)
    files: list[Path] = []
    for span in spans(source, spec, spec.id, months=1):
        frame = source.query(f"SELECT {names} FROM `{spec.id}` {within(spec)}", span)
        if frame.height:
            files.append(_write(frame.to_arrow(), spec, folder / spec.name))
    return target.stage_parquet(f"copy_{spec.name}", files, spec.partition_by) if files else None


def _write(rows: pa.Table, spec: TableSpec, folder: Path) -> Path:
    """Write a file named by its content hash, with the spec's nullable fields."""
    optional = {column.name for column in spec.columns if not column.required}
    schema = pa.schema([field.with_nullable(field.name in optional) for field in rows.schema])
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "part"
    pq.write_table(rows.cast(schema), part, compression="zstd")
    with open(part, "rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return part.rename(folder / f"{digest}.parquet")


def _same(
    source: Warehouse, target: Warehouse, spec: TableSpec, table_id: str | None, what: str
) -> int:
    """Compare a table's fingerprints with its copy's, and return how many there are."""
    ours = fingerprint(source, spec)
    theirs = fingerprint(target, spec, table_id) if table_id else {}
    if differing := sorted(
        str(month or "it")
        for month in ours.keys() | theirs.keys()
        if ours.get(month) != theirs.get(month)
    ):
        raise AuditError(
            f"what {what} {', '.join(differing[:3])} differs from the source",
            subject=spec.id,
            remedy="Run `cbi copy` again into an empty warehouse.",
        )
    return len(ours)


def _publication(
    target: Warehouse, spec: TableSpec, staged: str | None, rows: int
) -> list[Statement]:
    """Return the statements that insert a table's staged rows, a year each, and count them."""
    names = ", ".join(spec.column_names)
    complete = Assertion(
        f"SELECT COUNT(*) AS row_count FROM `{spec.id}` HAVING COUNT(*) <> @rows",
        {"rows": rows},
        subject=spec.id,
        message=f"would contain {{0}} rows, expected {rows}",
        remedy="Nothing was copied.",
    )
    if staged is None:
        return [complete]
    # One statement for all years could exceed the limit of bytes billed.
    insert = f"INSERT INTO `{spec.id}` ({names}) SELECT {names} FROM `{staged}` {within(spec)}"
    years = spans(target, spec, staged, months=12)
    return [*(Statement(insert, year) for year in years), complete]


def _count(warehouse: Warehouse, table_id: str) -> int:
    return int(warehouse.query(f"SELECT COUNT(*) AS n FROM `{table_id}`").item())
