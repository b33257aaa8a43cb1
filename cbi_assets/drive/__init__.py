"""The external drive: what lies on it, told from content, read once and landed as Parquet."""
