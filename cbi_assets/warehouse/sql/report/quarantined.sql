-- Count quarantined records, with one of their reasons.
-- One row per file, timeframe and root, largest first.
SELECT
  items.source_file_id, COALESCE(files.path, '') AS path, items.timeframe, items.root,
  MIN(items.reason) AS reason, COUNT(DISTINCT items.reason) AS reasons, COUNT(*) AS records
FROM `ops.quarantined_bars` AS items
LEFT JOIN `ops.source_files` AS files ON files.id = items.source_file_id
GROUP BY items.source_file_id, files.path, items.timeframe, items.root
ORDER BY records DESC, path, items.root
