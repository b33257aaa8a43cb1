-- Delete the entries of the chosen files, timeframes and roots from a table of the ledger.
-- Tables: $ledger, $chosen.
DELETE FROM `$ledger` AS entry
WHERE EXISTS (
  SELECT 1 FROM `$chosen` AS chosen
  WHERE chosen.timeframe = entry.timeframe
    AND chosen.source_file_id = entry.source_file_id AND chosen.root = entry.root
)
