-- Failed checks of severity ERROR, by their latest result. One row per table, check and partition.
SELECT table_id, check_name, partition_key, actual
FROM `ops.check_results`
WHERE NOT passed AND severity = 'ERROR'
ORDER BY table_id, check_name, partition_key
