-- Record from what the staged months were built; a month without bars is not recorded.
-- Tables: $staged.
INSERT INTO `ops.build_slices` (table_id, root, month, rule, ledger, state)
SELECT table_id, root, month, rule, ledger, state
FROM `$staged`
WHERE ledger IS NOT NULL
