-- Return when the ledger was last written to, UTC.
SELECT MAX(written_at) AS written_at
FROM (
  SELECT MAX(loaded_at) AS written_at FROM `ops.loads`
  UNION ALL
  SELECT MAX(checked_at) AS written_at FROM `ops.check_results`
  UNION ALL
  SELECT MAX(approved_at) AS written_at FROM `ops.approvals`
) AS entries
