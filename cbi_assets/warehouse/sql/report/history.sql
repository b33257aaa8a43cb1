-- Every run of checks, in the order of time.
SELECT checked_at, table_id, check_name, severity, partitions, failed
FROM `ops.check_history`
ORDER BY checked_at, table_id, check_name
