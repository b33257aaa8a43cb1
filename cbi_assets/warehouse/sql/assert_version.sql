-- The ledger's version, where it is not the one that this publication started from.
SELECT version
FROM `ops.ledger_version`
WHERE version <> @seen_version
