-- Delete the verdicts on slices that were checked again. Reads $staged. Parameter: table_id.
DELETE FROM `ops.check_slices` AS slices
WHERE slices.table_id = @table_id AND EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.root = slices.root AND staged.month = slices.month
)
