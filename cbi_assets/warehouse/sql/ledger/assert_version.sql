-- Return the ledger's version if it is not the one that this publication started from.
-- Parameters: @seen_version.
SELECT ledger.version
FROM (SELECT COALESCE(MAX(version), 0) AS version FROM `ops.ledger_version`) AS ledger
WHERE ledger.version <> @seen_version
