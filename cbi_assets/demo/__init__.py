"""`cbi demo`: a small synthetic drive from Databento's encoder, and every step run on it."""

from cbi_assets.demo.run import DemoOutcome, run_demo

__all__ = ["DemoOutcome", "run_demo"]
