-- Drop the old entries of what is decided again.
DELETE FROM `$ledger` AS entry
WHERE entry.timeframe = @timeframe
  AND EXISTS (
    SELECT 1 FROM `$todo` AS todo
    WHERE todo.source_file_id = entry.source_file_id AND todo.root = entry.root
  )
