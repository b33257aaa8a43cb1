-- Delete the verdicts on slices that were checked again. Reads $staged.
DELETE FROM `ops.check_slices` AS slices
WHERE EXISTS (
  SELECT 1 FROM `$staged` AS staged
  WHERE staged.table_id = slices.table_id AND staged.root = slices.root
    AND staged.month = slices.month
)
