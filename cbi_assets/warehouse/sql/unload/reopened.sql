-- Count the records of other files that were duplicates of, or in conflict with, a bar to remove.
-- One row per file and root; `records` includes `conflicts`.
-- Reads $landed, $todo, $removed, $rejected.
SELECT
  todo.source_file_id, todo.root,
  COUNT(*) AS records,
  COUNTIF(conflicts.source_file_id IS NOT NULL) AS conflicts
FROM `$landed` AS landed
JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
JOIN `$removed` AS removed ON landed.symbol = removed.symbol AND landed.ts_event = removed.ts_event
LEFT JOIN `$rejected` AS rejected
  ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
LEFT JOIN `ops.bar_conflicts` AS conflicts
  ON todo.source_file_id = conflicts.source_file_id AND landed.record_no = conflicts.record_no
WHERE rejected.reason IS NULL
GROUP BY todo.source_file_id, todo.root
