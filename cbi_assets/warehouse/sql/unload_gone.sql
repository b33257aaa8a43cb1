-- Keys of the bars that an unload takes out.
SELECT bars.symbol, bars.ts_event
FROM `$table` AS bars
JOIN `$chosen` AS chosen
  ON bars.source_file_id = chosen.source_file_id AND bars.root = chosen.root
WHERE chosen.timeframe = @timeframe
  AND bars.ts_event BETWEEN @first_ts AND @last_ts
