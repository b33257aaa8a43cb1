-- Record on how many partitions each check that ran now fails, whether they were checked now or
-- earlier. One row per table and check, and per time. Reads $staged. Parameter: checked_at.
MERGE INTO `ops.check_history` AS history
USING (
  SELECT
    results.table_id, results.check_name, MAX(results.severity) AS severity,
    COUNT(*) AS partitions, COUNTIF(NOT results.passed) AS failed
  FROM `ops.check_results` AS results
  WHERE EXISTS (
    SELECT 1 FROM `$staged` AS staged
    WHERE staged.table_id = results.table_id AND staged.check_name = results.check_name
  )
  GROUP BY results.table_id, results.check_name
) AS found
ON history.checked_at = @checked_at AND history.table_id = found.table_id
  AND history.check_name = found.check_name
WHEN MATCHED THEN UPDATE SET
  severity = found.severity, partitions = found.partitions, failed = found.failed
WHEN NOT MATCHED BY TARGET THEN
  INSERT (checked_at, table_id, check_name, severity, partitions, failed)
  VALUES (@checked_at, found.table_id, found.check_name, found.severity, found.partitions, found.failed)
