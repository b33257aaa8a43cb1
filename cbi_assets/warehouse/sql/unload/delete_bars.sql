-- Delete the bars of the chosen files and roots.
-- Tables: $table, $chosen. Parameters: @first_ts, @last_ts, @timeframe.
DELETE FROM `$table` AS bars
WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
  AND EXISTS (
  SELECT 1 FROM `$chosen` AS chosen
  WHERE chosen.timeframe = @timeframe
    AND chosen.source_file_id = bars.source_file_id AND chosen.root = bars.root
)
