-- Delete what the same checks recorded at the same time: a check has one result per time.
-- Reads $staged. Parameter: checked_at.
DELETE FROM `ops.check_history` AS history
WHERE checked_at = @checked_at AND EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.table_id = history.table_id AND staged.check_name = history.check_name
)
