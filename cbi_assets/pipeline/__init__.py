"""Dagster: thin assets, checks, jobs and sensors over the verbs below."""

# ruff: noqa: E402  the filters have to stand before Dagster is imported
import warnings

import databento  # noqa: F401  its import shows every DeprecationWarning; the filters come after

# What Dagster's own modules still have to mend, and that partitioned asset checks are a preview
# and automation sensors pass beta parameters: all pinned, so a user need not read of it each time.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"dagster")

import dagster as dg

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
