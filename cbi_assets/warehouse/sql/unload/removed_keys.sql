-- Return the keys (symbol, ts_event) of the bars to remove.
-- Reads $table, $chosen. Parameters: @timeframe, @first_ts, @last_ts.
SELECT bars.symbol, bars.ts_event
FROM `$table` AS bars
JOIN `$chosen` AS chosen
  ON bars.source_file_id = chosen.source_file_id AND bars.root = chosen.root
WHERE chosen.timeframe = @timeframe
  AND bars.ts_event BETWEEN @first_ts AND @last_ts
