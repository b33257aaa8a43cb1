"""Detect what each file on the drive is from its content, read it once, land it as Parquet."""
