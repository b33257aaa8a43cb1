-- Records of other files that had lost out to a bar that is taken out: as duplicates, or in conflict.
SELECT
  todo.source_file_id, todo.root,
  COUNT(*) AS records,
  COUNTIF(conflicts.source_file_id IS NOT NULL) AS conflicts
FROM `$landed` AS landed
JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
JOIN `$gone` AS gone ON landed.symbol = gone.symbol AND landed.ts_event = gone.ts_event
LEFT JOIN `$rejected` AS rejected
  ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
LEFT JOIN `ops.bar_conflicts` AS conflicts
  ON todo.source_file_id = conflicts.source_file_id AND landed.record_no = conflicts.record_no
WHERE rejected.reason IS NULL
GROUP BY todo.source_file_id, todo.root
