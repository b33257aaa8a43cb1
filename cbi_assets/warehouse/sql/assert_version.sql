-- The ledger's version, where it is not the one that this publication started from.
SELECT COALESCE(MAX(version), 0) AS version
FROM `ops.ledger_version`
HAVING COALESCE(MAX(version), 0) <> @seen_version
