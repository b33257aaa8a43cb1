"""`cbi demo`: a small synthetic drive, made with Databento's encoder, and everything run on it."""

from cbi_assets.demo.run import run_demo

__all__ = ["run_demo"]
