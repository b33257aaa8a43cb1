-- Insert the new results. Reads $staged.
INSERT INTO `ops.check_results` (
  table_id, check_name, partition_key, passed, severity, expected, actual, checked_at, sample, sql
)
SELECT
  table_id, check_name, partition_key, passed, severity, expected, actual, checked_at, sample, sql
FROM `$staged`
