-- Reopen the records that had lost out to a bar that is taken out.
UPDATE `ops.loads` AS entry
SET
  reopened = entry.reopened + reopened.records,
  duplicates = entry.duplicates - (reopened.records - reopened.conflicts),
  conflicts = entry.conflicts - reopened.conflicts
FROM `$reopened` AS reopened
WHERE entry.timeframe = @timeframe
  AND entry.source_file_id = reopened.source_file_id AND entry.root = reopened.root
