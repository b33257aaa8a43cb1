"""The page's section on columns: what each one means, and from which columns it is computed."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from cbi_assets.report.page import Block, Code, Grid, Links, Section, Text
from cbi_assets.tables import ALL_TABLES, DAILY_ML_MATRIX, Column, TableSpec
from cbi_assets.tables.lineage import FILES, LINEAGE, LOADED, OTHER_ORIGINS

_EXTERNAL: Final = {
    LOADED: "a record of a bar file",
    FILES: "a staging file",
}


def columns_section() -> Section:
    """List every table's columns; a column's sources and the columns it feeds are links."""
    feeds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    listed = [spec for spec in ALL_TABLES if spec.id in LINEAGE and spec.dataset != "training"]
    specs = {spec.id: spec for spec in listed}
    for table in specs:
        for column, sources in LINEAGE[table].items():
            target = (_short(table, column), anchor(table, column))
            for source, names in sources.items():
                for name in names:
                    feeds[anchor(source, name)].append(target)
    tables = sorted(specs, key=lambda table: table != DAILY_ML_MATRIX.id)
    grids = [_table(specs[table], feeds) for table in tables]
    text = (
        "From a column of daily_ml_matrix back to the files: follow “computed from”, and return "
        "with the browser's back button. “Feeds” leads the other way. Sources are the columns a "
        "value is computed from or selected by. docs/training.md says what training tables add."
    )
    blocks: list[Block] = [Text(text), *grids]
    count = f"{sum(len(grid.rows) for grid in grids)} columns"
    return Section("columns", "Columns and lineage", blocks, count, reference=True)


def _table(spec: TableSpec, feeds: dict[str, list[tuple[str, str]]]) -> Grid:
    table_id = spec.id
    rows, anchors = [], []
    for column in spec.columns:
        sources = LINEAGE[table_id].get(column.name, {})
        known = [
            (_short(source, name), anchor(source, name))
            for source, names in sources.items()
            for name in names
            if source not in _EXTERNAL
        ]
        files = [
            f"{', '.join(names)} of {_EXTERNAL[source]}"
            for source, names in sources.items()
            if source in _EXTERNAL
        ]
        origin = Links(known) if known else "; ".join(files)
        if not origin:
            origin = OTHER_ORIGINS.get(table_id, {}).get(column.name, "")
        used = Links(feeds[anchor(table_id, column.name)])
        kind = column.type.partition("<")[0]
        rows.append([Code(column.name), kind, _meaning(column), origin, used])
        anchors.append(anchor(table_id, column.name))
        for field in column.fields:
            parent = Links([(column.name, anchors[-1])])
            name = Code(f"{column.name}.{field.name}")
            rows.append([name, field.type, _meaning(field), parent, ""])
            anchors.append(anchor(table_id, f"{column.name}.{field.name}"))
    columns = ["column", "type", "meaning", "computed from", "feeds"]
    return Grid(f"Columns of {table_id}", columns, rows, anchors=anchors)


def _meaning(column: Column) -> str:
    return f"{column.description} ({column.unit})" if column.unit else column.description


def anchor(table_id: str, column: str) -> str:
    """Return the anchor of a column's row."""
    return f"column-{_short(table_id, column)}"


def _short(table_id: str, column: str) -> str:
    return f"{table_id.rpartition('.')[2]}.{column}"
