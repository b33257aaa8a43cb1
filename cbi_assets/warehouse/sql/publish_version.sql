-- Raise the ledger's version: of two publications at once, one is cancelled here.
UPDATE `ops.ledger_version`
SET version = version + 1
WHERE TRUE
