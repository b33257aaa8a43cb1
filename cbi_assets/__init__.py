"""Trustworthy ingest, audit and features for CME futures bars from Databento."""

__version__ = "0.1.0"
