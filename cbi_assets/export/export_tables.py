"""Export tables as one Parquet or CSV file per table and symbol, with a manifest.

The same state gives the same bytes: rows are sorted by their key, and nothing contains the clock.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets import __version__
from cbi_assets.build.build_rule import build_rule
from cbi_assets.counted_steps import log_steps
from cbi_assets.errors import UsageError
from cbi_assets.files import write_atomically
from cbi_assets.session import Session
from cbi_assets.tables import DAILY_ML_MATRIX_FLAT, EVERY_TABLE, FOLDS, TRAINING, Column, TableSpec
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.fingerprint import fingerprint, spans, within
from cbi_assets.warehouse.row_counts import rows_by_root

FORMATS: Final = ("parquet", "csv")
MANIFEST: Final = "manifest.json"

_DATES: Final = ("data_date", "trade_date", "date", "ts_event", "to_date")

logger = logging.getLogger(__name__)


def select_tables(what: str) -> tuple[TableSpec, ...]:
    """Return the tables that `matrix`, `training` or a table's id or name stands for.

    Raises UsageError if there is no such table.
    """
    if what == "matrix":
        return (DAILY_ML_MATRIX_FLAT,)
    if what == "training":
        return (*TRAINING.values(), FOLDS)
    found = tuple(spec for spec in EVERY_TABLE if what in (spec.id, spec.name))
    if not found:
        raise UsageError(
            "no such table",
            subject=what,
            remedy="Name matrix, training, or a table of docs/data-dictionary.md, such as "
            f"{DAILY_ML_MATRIX_FLAT.id}.",
        )
    return found


def export_tables(
    session: Session, what: str, symbols: Sequence[str], file_format: str, folder: Path
) -> dict[str, Any]:
    """Write the files and their manifest into a folder, and return the manifest.

    Parameters
    ----------
    what : str
        `matrix` (the flat view), `training` (its tables and folds), or a table.
    symbols : sequence of str
        The roots to export; all if empty.
    file_format : str
        One of FORMATS. CSV has a column per field of a STRUCT, `<struct>_<field>`.
    folder : Path
        Where to write; files of the same name are replaced.

    Raises
    ------
    UsageError
        If a name is wrong, the folder is on the drive, or a table is not built yet.
    """
    if file_format not in FORMATS:
        raise UsageError(
            "not a format", subject=f"--format {file_format}", remedy="Choose parquet or csv."
        )
    chosen = session.universe.select(tuple(symbols)) if symbols else ()
    drive = session.settings.cbi_drive
    if drive is not None and folder.resolve().is_relative_to(drive.resolve()):
        raise UsageError(
            "is on the drive, which is only read", subject=f"--out {folder}", remedy="Name another."
        )
    specs = select_tables(what)
    for spec in specs:
        if session.warehouse.live_table(spec) is None:
            raise UsageError("is not built yet", subject=spec.id, remedy="Run `cbi build`.")
    folder.mkdir(parents=True, exist_ok=True)
    tables, sources = [], {}
    for spec in log_steps(specs, lambda spec: f"exporting {spec.name}", logger=logger):
        files = [
            write_file(session.warehouse, spec, symbol, file_format, folder)
            for symbol in _symbols(session.warehouse, spec, chosen)
        ]
        tables.append(
            {
                "table": spec.id,
                "description": spec.description,
                "key": list(spec.key),
                "columns": [_described(c) for c in shown_columns(spec, file_format)],
                "files": files,
            }
        )
        source = spec.reads or spec
        sources[source.id] = fingerprint_text(session.warehouse, source)
    manifest = {
        "what": what,
        "symbols": list(chosen),
        "format": file_format,
        "package": {"cbi_assets": __version__, "rules": build_rule(session.project)},
        "sources": sources,
        "tables": tables,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / MANIFEST, text)
    return manifest


def fingerprint_text(warehouse: Warehouse, spec: TableSpec) -> str:
    """Return a hash of a table's rows, the same on both warehouses.

    Of a training table of bars without its features: date and time of writing of the matrix row
    identify them.
    """
    leave_out = (
        [c.name for c in FEATURES if c.name not in ("symbol", "data_date", "ingestion_ts")]
        if "bar_load_ids" in spec.column_names
        else []
    )
    if "table" in spec.column_names:  # a keyword, which the fingerprint's SQL does not quote
        rows = warehouse.query(f"SELECT * FROM `{spec.id}`").sort(spec.key)
        return hashlib.sha256(rows.write_csv().encode()).hexdigest()
    found = fingerprint(warehouse, spec, leave_out=leave_out)
    months = sorted((str(month), *_values(mark)) for month, mark in found.items())
    return hashlib.sha256(json.dumps(months).encode()).hexdigest()


def _values(mark: Any) -> tuple[int, int, int]:
    return mark.rows, mark.xor_of_hashes, mark.sum_of_hashes


def _symbols(
    warehouse: Warehouse, spec: TableSpec, chosen: Sequence[str]
) -> list[str] | list[None]:
    if symbol_column(spec) is None:
        return [None]
    return [root for root in rows_by_root(warehouse, spec) if not chosen or root in chosen]


def symbol_column(spec: TableSpec) -> str | None:
    """Return the column that a table is split by; None for a table that has neither."""
    return next((name for name in ("root", "symbol") if name in spec.column_names), None)


def write_file(
    warehouse: Warehouse, spec: TableSpec, symbol: str | None, file_format: str, folder: Path
) -> dict[str, Any]:
    """Write a table's rows of one symbol, and return the file's entry of the manifest."""
    name = ".".join(filter(None, (spec.dataset, spec.name, symbol, file_format)))
    part = folder / f".{name}.part"
    date = next((n for n in _DATES if n in spec.column_names), spec.partition_by)
    rows, newest = 0, ""
    with open(part, "wb") as raw:
        writer = _Writer(raw, spec, file_format)
        for frame in _read(warehouse, spec, symbol):
            writer.write(frame)
            rows += frame.height
            if date is not None and frame.height:
                newest = max(newest, str(frame[date].max()))
        writer.close()
    with open(part, "rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    entry = {
        "path": name,
        "symbol": symbol,
        "rows": rows,
        "bytes": part.stat().st_size,
        "sha256": digest,
        "data_through": newest or None,
    }
    part.replace(folder / name)
    return entry


def _read(warehouse: Warehouse, spec: TableSpec, symbol: str | None) -> Iterator[pl.DataFrame]:
    """Yield the rows of one symbol in the order of the key, a year at a time."""
    columns = ", ".join(f"`{name}`" for name in spec.column_names)
    order = ", ".join(f"`{name}`" for name in sorted(spec.key, key=_is_no_time(spec)))
    kinds = [pl.col(name).cast(kind) for name, kind in spec.polars_schema.items()]
    for span in spans(warehouse, spec, spec.id, months=12):
        where = within(spec) if span else ""
        if symbol is not None:
            own = f"{symbol_column(spec)} = @export_symbol"
            where = f"{where} AND {own}" if where else f"WHERE {own}"
        sql = f"SELECT {columns} FROM `{spec.id}` {where} ORDER BY {order}"
        rows = warehouse.query(sql, {**span, "export_symbol": symbol or ""}).select(kinds)
        if rows.height:
            yield rows


def _is_no_time(spec: TableSpec) -> Any:
    """Return a sort key that puts the partition column first: years are read one by one."""
    return lambda name: name != spec.partition_by


class _Writer:
    """Writes frames into one file."""

    def __init__(self, raw: IO[bytes], spec: TableSpec, file_format: str) -> None:
        self._raw, self._spec = raw, spec
        self._is_csv = file_format == "csv"
        self._is_first = True
        if not self._is_csv:
            empty = pl.DataFrame(schema=spec.polars_schema)
            described = {c.name: c for c in spec.columns}
            self._schema = pa.schema(
                field.with_metadata(
                    {"description": described[field.name].description,
                     "unit": described[field.name].unit or ""}
                )
                for field in empty.to_arrow().schema
            )  # fmt: skip
            self._parquet = pq.ParquetWriter(raw, self._schema, compression="zstd")

    def write(self, frame: pl.DataFrame) -> None:
        if self._is_csv:
            text = to_flat_text(frame).write_csv(include_header=self._is_first)
            self._raw.write(text.encode())
        else:
            self._parquet.write_table(frame.to_arrow().cast(self._schema))
        self._is_first = False

    def close(self) -> None:
        if not self._is_csv:
            self._parquet.close()
        elif self._is_first:
            self.write(pl.DataFrame(schema=self._spec.polars_schema))


def to_flat_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame as CSV has it: fields of STRUCTs as columns, lists joined, UTC times."""
    columns: list[pl.Expr] = []
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Struct):
            columns += [
                _text(pl.col(name).struct.field(f.name), f.dtype).alias(f"{name}_{f.name}")
                for f in kind.fields
                if f"{name}_{f.name}" not in frame.columns
            ]
        else:
            columns.append(_text(pl.col(name), kind).alias(name))
    return frame.select(columns)


def _text(value: pl.Expr, kind: Any) -> pl.Expr:
    if isinstance(kind, pl.List):
        return value.list.join(" ")
    if isinstance(kind, pl.Datetime):
        return value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return value


def shown_columns(spec: TableSpec, file_format: str) -> list[Column]:
    """Return the columns of a file."""
    if file_format == "parquet":
        return list(spec.columns)
    names = set(spec.column_names)
    return [
        Column(f"{c.name}_{f.name}" if c.fields else c.name, f.type, f.description, unit=f.unit)
        for c in spec.columns
        for f in c.fields or (c,)
        if not c.fields or f"{c.name}_{f.name}" not in names
    ]


def _described(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "unit": column.unit,
        "meaning": column.description,
    }
