-- How each check of a table that was run now stands: all its partitions, run now or earlier.
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
