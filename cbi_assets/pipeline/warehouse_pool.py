"""The pool of every step that opens the warehouse, and the kind that its asset shows."""

import os
from typing import Final

POOL: Final = "duckdb"
"""One step at a time: DuckDB has one writer, and the limit of dagster.yaml is by pool."""

WAREHOUSE_KIND: Final = "bigquery" if os.environ.get("CBI_WAREHOUSE") == "bigquery" else "duckdb"
"""`cbi ui` passes its settings to Dagster as environment variables."""
