-- Drop what the same instant told of the same checks before: two results of one instant are one.
DELETE FROM `ops.check_history` AS history
WHERE checked_at = @checked_at AND EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.table_id = history.table_id AND staged.check_name = history.check_name
)
