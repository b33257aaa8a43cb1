"""The asset checks, made by one factory from the project's list of checks."""

from cbi_assets.pipeline.checks.factory import ALL_CHECKS

__all__ = ["ALL_CHECKS"]
