"""Downloads: who approved which plan, what became of an approval, and the vendor's jobs."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import Column, TableSpec

APPROVALS = TableSpec(
    dataset="ops",
    name="approvals",
    description="One row an approval of a download plan; rows are added and never changed.",
    columns=(
        Column("approval_id", "STRING", "the approval"),
        Column(
            "plan_hash", "STRING", "sha256 of the plan's requests; the approval is for no other"
        ),
        Column("request_ids", "ARRAY<STRING>", "the plan's requests", required=False),
        Column("datasets", "ARRAY<STRING>", "the vendor's datasets asked for", required=False),
        Column("schemas", "ARRAY<STRING>", "the schemas asked for", required=False),
        Column("symbols", "ARRAY<STRING>", "the symbols asked for", required=False),
        Column("start_date", "DATE", "first day asked for", unit="UTC"),
        Column("end_date", "DATE", "day after the last one asked for", unit="UTC"),
        Column("basis", "STRING", "quoted, or estimated where no key was set"),
        Column("shown_usd", "FLOAT64", "the plan's cost as it was approved", False, "USD"),
        Column("max_usd", "FLOAT64", "ceiling of what may be spent", unit="USD"),
        Column("approved_by", "STRING", "who approved it"),
        Column("approved_at", "TIMESTAMP", "when", unit="UTC"),
        Column("expires_at", "TIMESTAMP", "nothing is bought on it from then on", False, "UTC"),
        Column("seal", "STRING", "sha256 of all the columns before, as they were entered"),
    ),
    key=("approval_id",),
)

APPROVAL_USES = TableSpec(
    dataset="ops",
    name="approval_uses",
    description="What became of an approval: one row when its download begins, one when all of it "
    "has come and the approval is used up. Rows are added and never changed.",
    columns=(
        Column("approval_id", "STRING", "the approval"),
        Column("plan_hash", "STRING", "the plan"),
        Column("event", "STRING", "begun or finished"),
        Column("happened_at", "TIMESTAMP", "when", unit="UTC"),
    ),
    key=("approval_id", "event"),
)

DOWNLOAD_JOBS = TableSpec(
    dataset="ops",
    name="download_jobs",
    description="One row a request of an approved plan: the vendor's job for it and how far it is.",
    columns=(
        Column("approval_id", "STRING", "the approval it is bought on"),
        Column("request_id", "STRING", "the request: twelve hex digits of its identity's sha256"),
        Column("plan_hash", "STRING", "the plan"),
        Column("root", "STRING", "root"),
        Column("schema", "STRING", "ohlcv-1d, ohlcv-1h or ohlcv-1m"),
        Column("job_id", "STRING", "the vendor's job; none until its submission is known", False),
        Column(
            "state",
            "STRING",
            "submitting, submitted, queued, processing, done, expired, downloaded or failed",
        ),
        Column("quoted_usd", "FLOAT64", "the quote right before it was submitted", False, "USD"),
        Column("billed_usd", "FLOAT64", "the job's cost as the vendor tells it", False, "USD"),
        Column("folder", "STRING", "where its files lie on the drive, once whole", False),
        Column("files", "INT64", "files downloaded and verified", False),
        Column("bytes", "INT64", "size of those files", False, "bytes"),
        Column("told", "STRING", "what went wrong, where something did", False),
        Column("intended_at", "TIMESTAMP", "entered right before it was submitted", unit="UTC"),
        Column("submitted_at", "TIMESTAMP", "when the vendor received it", False, "UTC"),
        Column("updated_at", "TIMESTAMP", "when this row was last written", unit="UTC"),
    ),
    key=("approval_id", "request_id"),
)

DOWNLOADS: Final = (APPROVALS, APPROVAL_USES, DOWNLOAD_JOBS)
