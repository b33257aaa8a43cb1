"""Statements that replace rows: one MERGE, where a DELETE and an INSERT are billed as two."""

from __future__ import annotations

from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Params, Statement


def merge_rows(spec: TableSpec, staged: str, is_gone: str = "FALSE") -> Statement:
    """Return the statement that replaces the rows of the staged keys, and inserts new ones.

    Parameters
    ----------
    spec : TableSpec
        The table. `staged` has its columns, and each key once.
    staged : str
        The staged rows, `fresh` in `is_gone`.
    is_gone : str
        A condition on a staged row; where it is true, the row of that key is deleted.
    """
    names = [f"`{name}`" for name in spec.column_names]
    match = " AND ".join(f"fresh.`{name}` = t.`{name}`" for name in spec.key)
    values = ", ".join(
        f"`{name}` = fresh.`{name}`" for name in spec.column_names if name not in spec.key
    )
    return Statement(
        f"MERGE INTO `{spec.id}` AS t USING `{staged}` AS fresh ON {match}\n"
        f"WHEN MATCHED AND {is_gone} THEN DELETE\n"
        f"WHEN MATCHED THEN UPDATE SET {values}\n"
        f"WHEN NOT MATCHED BY TARGET AND NOT ({is_gone}) THEN\n"
        f"  INSERT ({', '.join(names)}) VALUES ({', '.join(f'fresh.{name}' for name in names)})"
    )


def merge_rows_where(spec: TableSpec, staged: str, where: str, params: Params) -> Statement:
    """Return the statement that deletes the rows `where` a condition on `t` is true.

    It inserts the staged rows, which have the table's columns.
    """
    names = [f"`{name}`" for name in spec.column_names]
    return Statement(
        f"MERGE INTO `{spec.id}` AS t USING `{staged}` AS fresh ON FALSE\n"
        f"WHEN NOT MATCHED BY SOURCE AND {where} THEN DELETE\n"
        "WHEN NOT MATCHED BY TARGET THEN\n"
        f"  INSERT ({', '.join(names)}) VALUES ({', '.join(f'fresh.{name}' for name in names)})",
        params,
    )
