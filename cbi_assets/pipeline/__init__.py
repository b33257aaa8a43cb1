"""Dagster: thin assets, checks, jobs and sensors over the verbs below."""

# ruff: noqa: E402  the filters have to be set before Dagster is imported
import warnings

import databento  # noqa: F401  its import shows every DeprecationWarning; the filters come after

# Dagster's own modules use deprecated functions, partitioned asset checks are a preview, and
# automation sensors take beta parameters. All versions are pinned, so users need not read of it.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"dagster")

import dagster as dg

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
