-- Record on how many partitions each check that ran now fails, whether they were checked now or
-- earlier. One row per table and check. Reads $staged. Parameter: checked_at.
INSERT INTO `ops.check_history` (checked_at, table_id, check_name, severity, partitions, failed)
SELECT
  @checked_at, results.table_id, results.check_name, MAX(results.severity), COUNT(*),
  COUNTIF(NOT results.passed)
FROM `ops.check_results` AS results
WHERE EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.table_id = results.table_id AND staged.check_name = results.check_name
)
GROUP BY results.table_id, results.check_name
