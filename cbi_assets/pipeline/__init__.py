"""Dagster: thin assets, checks, jobs and sensors over the verbs below."""

import warnings

import dagster as dg
import databento  # noqa: F401  its import shows every DeprecationWarning; the filters come after

# Partitioned asset checks are a preview of Dagster's and automation sensors pass beta parameters;
# both are pinned by the constraints, so a user need not read of it at every start. Nor of what
# Dagster's own modules still have to mend.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"dagster")
