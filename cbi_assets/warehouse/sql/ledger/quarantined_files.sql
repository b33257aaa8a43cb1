-- Return each file with records that a load quarantined: how many, and the first with its reason.
-- One row per file. Parameter: @load_id.
SELECT
  files.path,
  files.records,
  COUNT(*) OVER (PARTITION BY bars.source_file_id) AS quarantined,
  bars.record_no,
  bars.reason
FROM `ops.quarantined_bars` AS bars
JOIN `ops.source_files` AS files ON files.id = bars.source_file_id
WHERE bars.load_id = @load_id
QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.source_file_id ORDER BY bars.record_no) = 1
ORDER BY path
