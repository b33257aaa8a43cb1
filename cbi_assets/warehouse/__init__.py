"""The warehouse: one spec a table, GoogleSQL in files, DuckDB as the embedded default."""
