-- Conflicts with a bar that is taken out are open again.
DELETE FROM `ops.bar_conflicts` AS entry
WHERE entry.timeframe = @timeframe
  AND EXISTS (
    SELECT 1 FROM `$gone` AS gone
    WHERE gone.symbol = entry.symbol AND gone.ts_event = entry.ts_event
  )
