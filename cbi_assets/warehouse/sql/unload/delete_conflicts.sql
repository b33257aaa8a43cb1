-- Delete the conflicts with a removed bar: the next load audits their records again.
-- Tables: $removed. Parameters: @timeframe.
DELETE FROM `ops.bar_conflicts` AS entry
WHERE entry.timeframe = @timeframe
  AND EXISTS (
    SELECT 1 FROM `$removed` AS removed
    WHERE removed.symbol = entry.symbol AND removed.ts_event = entry.ts_event
  )
