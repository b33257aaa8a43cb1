-- Delete earlier results of the same checks on the same partitions. Reads $staged.
DELETE FROM `ops.check_results` AS results
WHERE EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.table_id = results.table_id AND staged.check_name = results.check_name
    AND staged.partition_key = results.partition_key
)
