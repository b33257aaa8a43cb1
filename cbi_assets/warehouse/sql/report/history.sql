-- Counts of each check after each run, oldest first. One row per run, table and check.
SELECT checked_at, table_id, check_name, severity, partitions, failed
FROM `ops.check_history`
ORDER BY checked_at, table_id, check_name
