"""The warehouse: GoogleSQL in files, run on BigQuery or on an embedded DuckDB (the default)."""
