-- Delete the entries of the files and roots that are staged again from a table of the ledger.
-- Tables: $ledger, $todo. Parameters: @timeframe.
DELETE FROM `$ledger` AS entry
WHERE entry.timeframe = @timeframe
  AND EXISTS (
    SELECT 1 FROM `$todo` AS todo
    WHERE todo.source_file_id = entry.source_file_id AND todo.root = entry.root
  )
