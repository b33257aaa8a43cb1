-- Count those records as reopened: the next load audits them again.
-- Tables: $reopened. Parameters: @timeframe.
UPDATE `ops.loads` AS entry
SET
  reopened = entry.reopened + lost.records,
  duplicates = entry.duplicates - (lost.records - lost.conflicts),
  conflicts = entry.conflicts - lost.conflicts
FROM `$reopened` AS lost
WHERE entry.timeframe = @timeframe
  AND entry.source_file_id = lost.source_file_id AND entry.root = lost.root
