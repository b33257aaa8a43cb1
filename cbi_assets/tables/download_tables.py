"""Downloads: approvals of plans, their use, and Databento's jobs."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import Column, TableSpec

APPROVALS = TableSpec(
    dataset="ops",
    name="approvals",
    description="One row per approval of a download plan; rows are added and never changed.",
    columns=(
        Column("approval_id", "STRING", "the approval"),
        Column("plan_hash", "STRING", "sha256 of the requests of the only plan it is valid for"),
        Column("request_ids", "ARRAY<STRING>", "the plan's requests", required=False),
        Column("datasets", "ARRAY<STRING>", "the Databento datasets requested", required=False),
        Column("schemas", "ARRAY<STRING>", "the schemas requested", required=False),
        Column("symbols", "ARRAY<STRING>", "the symbols requested", required=False),
        Column("start_date", "DATE", "first day requested", unit="UTC"),
        Column("end_date", "DATE", "day after the last one requested", unit="UTC"),
        Column("basis", "STRING", "quoted, or estimated if no key was set"),
        Column("shown_usd", "FLOAT64", "the plan's cost when it was approved", False, "USD"),
        Column("max_usd", "FLOAT64", "the most that may be spent", unit="USD"),
        Column("approved_by", "STRING", "who approved it"),
        Column("approved_at", "TIMESTAMP", "when it was approved", unit="UTC"),
        Column(
            "expires_at", "TIMESTAMP", "from then on, nothing may be bought under it", False, "UTC"
        ),
        Column("seal", "STRING", "sha256 of all other columns, as they were inserted"),
    ),
    key=("approval_id",),
)

APPROVAL_USES = TableSpec(
    dataset="ops",
    name="approval_uses",
    description="The use of approvals: one row when the download begins, one when it is finished "
    "and the approval is used up. Rows are added and never changed.",
    columns=(
        Column("approval_id", "STRING", "the approval"),
        Column("plan_hash", "STRING", "the plan"),
        Column("event", "STRING", "begun or finished"),
        Column("happened_at", "TIMESTAMP", "when it began or finished", unit="UTC"),
    ),
    key=("approval_id", "event"),
)

DOWNLOAD_JOBS = TableSpec(
    dataset="ops",
    name="download_jobs",
    description="One row per request of an approved plan: Databento's job for it and its state.",
    columns=(
        Column("approval_id", "STRING", "the approval it is bought under"),
        Column(
            "request_id", "STRING", "the request: twelve hex digits of the sha256 of its parameters"
        ),
        Column("plan_hash", "STRING", "the plan"),
        Column("root", "STRING", "root"),
        Column("schema", "STRING", "ohlcv-1d, ohlcv-1h or ohlcv-1m"),
        Column(
            "job_id", "STRING", "Databento's job; NULL until its submission is confirmed", False
        ),
        Column(
            "state",
            "STRING",
            "submitting, submitted, queued, processing, done, expired, downloaded or failed",
        ),
        Column("quoted_usd", "FLOAT64", "the quote right before its submission", False, "USD"),
        Column("billed_usd", "FLOAT64", "the job's cost as Databento reports it", False, "USD"),
        Column("folder", "STRING", "the folder with its files on the drive, once complete", False),
        Column("files", "INT64", "files downloaded and verified", False),
        Column("bytes", "INT64", "total size of those files", False, "bytes"),
        Column("told", "STRING", "why it failed or expired", False),
        Column(
            "intended_at",
            "TIMESTAMP",
            "when the row was inserted, right before the submission",
            unit="UTC",
        ),
        Column("submitted_at", "TIMESTAMP", "when Databento received it", False, "UTC"),
        Column("updated_at", "TIMESTAMP", "when this row was last written", unit="UTC"),
    ),
    key=("approval_id", "request_id"),
)

STANDING_APPROVALS = TableSpec(
    dataset="ops",
    name="standing_approvals",
    description="Standing approvals of newest days: a row when one is granted or revoked, and one "
    "for each use, before anything is bought. Rows are added, never changed, and sealed in a chain "
    "with the key of a home.",
    columns=(
        Column("entry", "INT64", "place in the chain of its key, from 1"),
        Column("approval_id", "STRING", "the standing approval"),
        Column("event", "STRING", "granted, used or revoked"),
        Column("roots", "ARRAY<STRING>", "the roots that may be bought (granted)", False),
        Column("schemas", "ARRAY<STRING>", "the schemas that may be bought (granted)", False),
        Column("max_usd_per_run", "FLOAT64", "the most that a run may spend", False, "USD"),
        Column(
            "max_usd_per_month", "FLOAT64", "the most that a calendar month may cost", False, "USD"
        ),
        Column("valid_until", "DATE", "last day on which it may be used (granted)", False, "UTC"),
        Column("plan_hash", "STRING", "the plan bought (used)", False),
        Column("usd", "FLOAT64", "what counts against the ceilings (used)", False, "USD"),
        Column("recorded_by", "STRING", "who granted or revoked it; top-up for a use"),
        Column("recorded_at", "TIMESTAMP", "when it happened", unit="UTC"),
        Column("key_id", "STRING", "the key: twelve hex digits of its sha256"),
        Column("previous_seal", "STRING", "seal of the row before; empty for the first"),
        Column("seal", "STRING", "HMAC-SHA256 of all other columns with the home's key"),
    ),
    key=("key_id", "entry"),
)

DOWNLOADS: Final = (APPROVALS, APPROVAL_USES, DOWNLOAD_JOBS, STANDING_APPROVALS)
