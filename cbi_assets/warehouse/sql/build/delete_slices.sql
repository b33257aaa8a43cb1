-- Delete what is recorded of the staged months. Tables: $staged.
DELETE FROM `ops.build_slices` AS slices
WHERE EXISTS (
  SELECT 1 FROM `$staged` AS months
  WHERE months.table_id = slices.table_id AND months.root = slices.root
    AND months.month = slices.month
)
