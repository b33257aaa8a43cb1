"""What the emulator does not show about REQUIRED columns: the acceptance run begins with these.

https://github.com/googleapis/java-bigquery/issues/13: a REQUIRED Parquet field was refused for a
NULLABLE column. https://github.com/googleapis/python-bigquery/issues/1981: an append to REQUIRED
columns failed without a schema.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.session import Project
from cbi_assets_tests.helpers import open_warehouse

pytestmark = pytest.mark.both_warehouses


def write(folder: Path, name: str, values: list[int | None], nullable: bool) -> Path:
    path = folder / f"{name}.parquet"
    schema = pa.schema([pa.field("n", pa.int64(), nullable=nullable)])
    pq.write_table(pa.table({"n": values}, schema), path)
    return path


@pytest.mark.parametrize("nullable", [True, False], ids=["into NULLABLE", "into REQUIRED"])
def test_required_field_is_appended(project: Project, tmp_path: Path, nullable: bool) -> None:
    first = write(tmp_path, "first", [None if nullable else 1], nullable)
    second = write(tmp_path, "second", [2], nullable=False)
    with open_warehouse(project) as warehouse:
        staged = warehouse.stage_parquet("required", [first, second])
        found = warehouse.query(f"SELECT n FROM `{staged}` ORDER BY n")
    assert found["n"].to_list() == [None if nullable else 1, 2]
