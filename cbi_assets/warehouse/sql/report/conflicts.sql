-- Count bars in conflict. One row per unpublished file, timeframe and root, largest first.
SELECT
  items.source_file_id, COALESCE(files.path, '') AS path, items.timeframe, items.root,
  COUNT(*) AS bars, MIN(items.ts_event) AS first_ts_event
FROM `ops.bar_conflicts` AS items
LEFT JOIN `ops.source_files` AS files ON files.id = items.source_file_id
GROUP BY items.source_file_id, files.path, items.timeframe, items.root
ORDER BY bars DESC, path, items.root
