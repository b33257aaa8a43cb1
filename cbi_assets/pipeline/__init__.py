"""Dagster: thin assets, checks, jobs and sensors over the verbs below."""

# ruff: noqa: E402  the filters have to be set before Dagster is imported
import warnings

from cbi_assets.library_warnings import ignore_library_warnings

ignore_library_warnings()

import dagster as dg

# Partitioned asset checks are a preview, and automation sensors take beta parameters. All versions
# are pinned, so users need not read of it.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
