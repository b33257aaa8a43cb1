-- Return the ledger's version if it is not the one that this publication started from.
-- Parameters: @seen_version.
SELECT COALESCE(MAX(version), 0) AS version
FROM `ops.ledger_version`
HAVING COALESCE(MAX(version), 0) <> @seen_version
