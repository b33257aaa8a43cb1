"""Staging: read the Parquet files of other sources and judge them row by row."""
