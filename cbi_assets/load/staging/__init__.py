"""Staging: read other sources' Parquet files and validate them row by row."""
