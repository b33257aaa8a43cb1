"""Flat files of the tables, to take home: Parquet or CSV with a manifest."""

from cbi_assets.export.export_tables import FORMATS, export_tables
from cbi_assets.export.verify_export import Verdict, verify_export

__all__ = ["FORMATS", "Verdict", "export_tables", "verify_export"]
