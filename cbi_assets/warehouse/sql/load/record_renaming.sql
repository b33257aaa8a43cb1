-- Record in the books which entries have bars whose contract a load changed.
-- Tables: $renamed. Parameters: @load_id, @timeframe.
UPDATE `ops.loads` AS entry
SET named_by = @load_id
WHERE entry.timeframe = @timeframe
  AND EXISTS (
    SELECT 1 FROM `$renamed` AS renamed
    WHERE renamed.source_file_id = entry.source_file_id AND renamed.root = entry.root
  )
